"""A model's default prompt: the tokenizer step puts it before each text, and before no token ids."""

import json
from typing import Any

import numpy as np

from tests.unit.model_repository.conftest import LIMIT, PROMPT
from tests.unit.model_repository.test_tokenizer import outputs, request

TEXTS = ["갈비탕", "", "  두부 ", "query: 두부", "<mask> 두부"]


def tokens(step: Any, *texts: str, **parameters: Any) -> list[list[int]]:
    (response,) = step.execute([request(*(text.encode() for text in texts), **parameters)])
    found = outputs(response)
    return [ids[mask == 1].tolist() for ids, mask in zip(found["input_ids"], found["attention_mask"], strict=True)]


def test_it_is_part_of_each_text(prompted_step: Any, tokenizer_step: Any) -> None:
    assert tokens(prompted_step, *TEXTS) == tokens(tokenizer_step, *(PROMPT + text for text in TEXTS))
    assert tokens(prompted_step, "갈비탕") != tokens(tokenizer_step, "갈비탕")


def test_its_tokens_count(prompted_step: Any, tokenizer_step: Any) -> None:
    prompt = len(tokens(tokenizer_step, PROMPT)[0]) - 2
    room = LIMIT - 2 - prompt
    (response,) = prompted_step.execute([request("무 ".encode() * room, "무 ".encode() * (room + 1))])
    found = outputs(response)
    assert found["token_count"].tolist() == [[LIMIT], [LIMIT + 1]]
    assert found["truncated"].tolist() == [[False], [True]]


def test_a_text_of_as_many_characters_as_are_counted_is_counted_whole(prompted_step: Any, tokenizer_step: Any) -> None:
    text = "두부 " * 1365 + "두"
    assert len(text) == 4096
    found = [
        outputs(step.execute([request(given.encode())])[0])["token_count"][0, 0]
        for step, given in ((prompted_step, text), (tokenizer_step, text), (tokenizer_step, PROMPT))
    ]
    assert found[0] == found[1] + found[2] - 2


def test_token_ids_are_taken_as_they_come(prompted_step: Any, tokenizer_step: Any) -> None:
    ids = tokens(prompted_step, "갈비탕", special_tokens=False)
    assert ids == tokens(tokenizer_step, PROMPT + "갈비탕", special_tokens=False), "what the model sees"
    again = tokens(prompted_step, *map(json.dumps, ids), text_format="token_ids")
    assert again == tokens(prompted_step, "갈비탕")


def test_a_text_that_is_not_utf8_is_told_by_its_own_bytes(prompted_step: Any) -> None:
    (response,) = prompted_step.execute([request(b"a\xff")])
    assert response.error().message() == "text 0 is not valid UTF-8 (byte 1)"


def test_requests_of_one_batch_have_it_each(prompted_step: Any) -> None:
    together = prompted_step.execute([request("갈비탕".encode()), request("두부".encode(), "무".encode())])
    alone = [
        prompted_step.execute([request("갈비탕".encode())])[0],
        prompted_step.execute([request("두부".encode(), "무".encode())])[0],
    ]
    for first, second in zip(together, alone, strict=True):
        assert np.array_equal(outputs(first)["input_ids"], outputs(second)["input_ids"])
