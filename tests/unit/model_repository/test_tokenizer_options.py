"""What a request may ask of the tokenizer step: the side that is cut, token ids in place of text, no special tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.unit.model_repository.conftest import LIMIT
from tests.unit.model_repository.test_tokenizer import outputs, request

TEXTS = [
    "갈비탕", "", "무 " * (LIMIT - 2), "무 " * (LIMIT - 1), "김치찌개 끓이는 법 " * 40,
    "a</s> b <s>c " * 12, "x" * 400, "👩‍🍳" * 50,
]  # fmt: skip


@pytest.fixture(scope="module")
def oracle(small_stand_in: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(small_stand_in))


def ids_of(tokenizer_step: Any, *texts: bytes, **parameters: Any) -> list[list[int]]:
    (response,) = tokenizer_step.execute([request(*texts, **parameters)])
    assert response.error() is None, response.error().message()
    tensors = outputs(response)
    rows = zip(tensors["input_ids"], tensors["attention_mask"], strict=True)
    return [ids[mask == 1].tolist() for ids, mask in rows]


def as_json(rows: list[list[int]]) -> list[bytes]:
    return [json.dumps(ids).encode() for ids in rows]


@pytest.mark.parametrize("side", ["left", "right"])
def test_either_side_is_cut_as_transformers_does(side: str, tokenizer_step: Any, oracle: Any) -> None:
    oracle.truncation_side = side
    expected = oracle(TEXTS, truncation=True, max_length=LIMIT)["input_ids"]
    found = ids_of(tokenizer_step, *(text.encode() for text in TEXTS), truncation_side=side)
    assert found == expected
    assert max(map(len, found)) == LIMIT


def test_the_side_changes_neither_count_nor_truncated(tokenizer_step: Any, oracle: Any) -> None:
    texts = [text.encode() for text in TEXTS]
    left, right = (
        outputs(tokenizer_step.execute([request(*texts, truncation_side=side)])[0]) for side in ("left", "right")
    )
    counts = [len(ids) for ids in oracle(TEXTS)["input_ids"]]
    assert left["token_count"].tolist() == right["token_count"].tolist() == [[count] for count in counts]
    assert left["truncated"].tolist() == right["truncated"].tolist() == [[count > LIMIT] for count in counts]


@pytest.mark.parametrize("side", ["left", "right"])
def test_token_ids_give_what_their_text_gives(side: str, tokenizer_step: Any, oracle: Any) -> None:
    whole = oracle(TEXTS, add_special_tokens=False)["input_ids"]
    texts = request(*(text.encode() for text in TEXTS), truncation_side=side)
    ids = request(*as_json(whole), truncation_side=side, text_format="token_ids")
    expected, found = (outputs(response) for response in tokenizer_step.execute([texts, ids]))
    for name, values in expected.items():
        assert (values == found[name]).all(), name


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("text_format", ["text", "token_ids"])
def test_without_special_tokens_it_is_what_the_model_sees_between_them(
    side: str, text_format: str, tokenizer_step: Any, oracle: Any
) -> None:
    texts = [text.encode() for text in TEXTS]
    if text_format == "token_ids":
        texts = as_json(oracle(TEXTS, add_special_tokens=False)["input_ids"])
    asked = {"truncation_side": side, "text_format": text_format}
    whole = ids_of(tokenizer_step, *texts, **asked)
    assert ids_of(tokenizer_step, *texts, special_tokens=False, **asked) == [ids[1:-1] for ids in whole]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[5, 99999]", "the vocabulary has no 99999"),
        (b"[-1]", "the vocabulary has no -1"),
        (b"[5, " + b"9" * 400 + b"]", "the vocabulary has no " + "9" * 20),
        (b"[true]", "a JSON array of whole numbers is expected"),
        (b"[1.0]", "a JSON array of whole numbers is expected"),
        (b"5", "a JSON array of whole numbers is expected"),
        (b"[" * 100_000, "a JSON array of whole numbers is expected"),
        (b"\xff", "a JSON array of whole numbers is expected"),
    ],
)
def test_token_ids_that_are_none_fail_alone(text: bytes, reason: str, tokenizer_step: Any) -> None:
    good = request(b"[5, 6]", text_format="token_ids")
    responses = tokenizer_step.execute([good, request(b"[5]", text, text_format="token_ids"), request(b"a"), good])
    assert [response.error() is None for response in responses] == [True, False, True, True]
    error = responses[1].error()
    assert (error.code(), error.message()) == (3, f"text 1 is not valid token ids: {reason}")


@pytest.mark.parametrize(
    ("name", "value", "choices"),
    [
        ("truncation_side", "middle", '"right" or "left"'),
        ("truncation_side", 1, '"right" or "left"'),
        ("text_format", ["text"], '"text" or "token_ids"'),
        ("special_tokens", 0, "true or false"),
        ("special_tokens", "false", "true or false"),
    ],
)
def test_an_unknown_choice_is_named(name: str, value: Any, choices: str, tokenizer_step: Any) -> None:
    refused, other = tokenizer_step.execute([request(b"a", **{name: value}), request(b"a", unknown=value)])
    assert refused.error().message() == f"parameter {name} is {json.dumps(value)}: it should be {choices}"
    assert other.error() is None, "other parameters are not the step's"
