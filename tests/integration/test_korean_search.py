"""multilingual-e5-small behind the service: Korean queries find what they mean, with the prompt that it wants."""

import subprocess
import sys
from typing import Any

import httpx
import numpy as np
import pytest

from bench.neighbours import own_among
from bench.texts import dishes
from tests.integration.conftest import Served
from tests.integration.test_parity import assert_equal

EXAMPLE = (sys.executable, "-m", "examples.korean_queries")


def embed(served: Served, texts: list[str], **fields: Any) -> Any:
    answers = []
    for start in range(0, len(texts), 100):
        body = {"texts": texts[start : start + 100], **fields}
        answers.append(httpx.post(f"{served.service.proxy}/api/v1/embed-batch", json=body, timeout=60).json())
    assert len({answer["version"] for answer in answers}) == 1
    names = ("embeddings", "tokens") if "return_tokens" in fields else ("embeddings",)
    return {name: [value for answer in answers for value in answer[name]] for name in names}


def test_dish_names_find_their_own_description(multilingual_model: Served) -> None:
    sentences = {name: description.partition(". ")[0] for name, description in list(dishes().items())[:100]}

    def vectors(texts: list[str]) -> Any:
        return np.array(embed(multilingual_model, texts)["embeddings"], np.float32)

    found = own_among(vectors(list(sentences)), vectors(list(sentences.values())), 10)
    assert found >= 0.45, "by chance it is 10 %"


def test_the_prompt_is_before_each_text_and_counts(multilingual_model: Served) -> None:
    texts = ["갈비탕", "", "query: 갈비탕", "  두부 ", "두부 " * 600]
    answer = embed(multilingual_model, texts, return_tokens=True)
    original = multilingual_model.original
    counts = [len(ids) for ids in original.tokenizer([f"query: {text}" for text in texts])["input_ids"]]
    assert answer["tokens"] == counts
    assert_equal(answer["embeddings"], original.encode(texts, prompt="query: ", normalize_embeddings=True), texts)


def test_token_ids_are_what_the_model_sees_and_come_back_as_the_same_vector(multilingual_model: Served) -> None:
    texts = ["갈비탕", "얼큰한 국물 요리"]
    service, tokenizer = multilingual_model.service.proxy, multilingual_model.original.tokenizer
    told = httpx.post(f"{service}/api/v1/tokenize", json={"texts": texts}).json()
    prompted = [f"query: {text}" for text in texts]
    assert told["ids"] == tokenizer(prompted, add_special_tokens=False)["input_ids"]
    body = {"input": told["ids"], "model": "multilingual-e5-small"}
    by_ids = httpx.post(f"{service}/v1/embeddings", json=body).json()["data"]
    assert_equal([item["embedding"] for item in by_ids], embed(multilingual_model, texts)["embeddings"], texts)


def test_the_left_side_is_cut_as_the_original_cuts_it(
    multilingual_model: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "처음 " + "가운데 " * 600 + "끝"
    found = embed(multilingual_model, [text], truncate="left")["embeddings"]
    monkeypatch.setattr(multilingual_model.original.tokenizer, "truncation_side", "left")
    assert_equal(found, multilingual_model.original.encode([text], normalize_embeddings=True), [text])


def test_ten_queries_from_the_command_line(multilingual_model: Served) -> None:
    environment = {"ML_INFERENCE_URL": multilingual_model.service.proxy}
    done = subprocess.run(EXAMPLE, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "multilingual-e5-small@" in lines[0]
    found = dict(line.split(" → ") for line in lines if " → " in line)
    assert len(found) == 10
    assert "팟타이" in found["새우가 들어간 태국 요리"]
    assert "붕어빵" in found["겨울 길거리 간식"]


def test_the_command_says_what_is_missing() -> None:
    environment = {"ML_INFERENCE_URL": "http://127.0.0.1:9"}
    done = subprocess.run(EXAMPLE, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 1
    expected = "error: http://127.0.0.1:9 cannot be reached (Connection refused): start it with `make run`.\n"
    assert done.stderr == expected
