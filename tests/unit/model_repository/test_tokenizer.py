"""The tokenizer step: its pure functions, and its adapter with a fake Triton."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.unit.model_repository.conftest import FakeRequest, Load

LIMIT = 24


@pytest.fixture(scope="module")
def tokenizer_file(small_stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tokenizer.json as export writes it, in a model folder with a version."""
    tokenizer = Tokenizer.from_file(str(small_stand_in / "tokenizer.json"))
    tokenizer.enable_truncation(LIMIT)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>")
    folder = tmp_path_factory.mktemp("tokenizer") / "1"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.fixture
def model(load: Load, tokenizer_file: Path) -> Any:
    step = load("tokenizer", "model").TritonPythonModel()
    step.initialize({"model_repository": str(tokenizer_file.parent.parent), "model_version": "1"})
    return step


def request(*texts: bytes) -> FakeRequest:
    return FakeRequest(text=np.array([[text] for text in texts], dtype=object))


def outputs(response: Any) -> dict[str, Any]:
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def test_the_examples_in_the_docstrings(load: Load) -> None:
    assert doctest.testmod(load("tokenizer", "tokenization")).failed == 0


def test_shapes_and_types(model: Any) -> None:
    (response,) = model.execute([request("갈비탕".encode(), "김치찌개 맛있게 끓이는 법".encode(), b"")])
    tensors = outputs(response)
    assert {name: (values.dtype, values.shape) for name, values in tensors.items()} == {
        "input_ids": (np.int64, (3, 16)),
        "attention_mask": (np.int64, (3, 16)),
        "token_count": (np.int32, (3, 1)),
        "truncated": (np.bool_, (3, 1)),
    }
    assert tensors["attention_mask"].sum(axis=1).tolist() == tensors["token_count"][:, 0].tolist()
    assert tensors["token_count"][2, 0] == 2, "the empty text is its two special tokens"
    assert (tensors["input_ids"][tensors["attention_mask"] == 0] == 1).all(), "padding is the padding token"


@pytest.mark.parametrize(
    ("words", "truncated"), [(LIMIT - 3, False), (LIMIT - 2, False), (LIMIT - 1, True), (200, True)]
)
def test_counts_before_truncation(model: Any, words: int, truncated: bool) -> None:
    (response,) = model.execute([request("무 ".encode() * words)])
    tensors = outputs(response)
    assert tensors["token_count"].tolist() == [[words + 2]]
    assert tensors["truncated"].tolist() == [[truncated]]
    assert tensors["input_ids"].shape == (1, LIMIT), "never padded over the limit"
    assert tensors["input_ids"][0, -1] == (2 if words >= LIMIT - 2 else 1), "the end token survives truncation"


def test_a_text_that_is_not_utf8_fails_alone(model: Any) -> None:
    good, bad = "두부조림".encode(), b"\xff\xfe"
    responses = model.execute(
        [request(good), request(good, bad), request("\ud800".encode("utf-8", "surrogatepass")), request(good)]
    )
    assert [response.error() is None for response in responses] == [True, False, False, True]
    assert responses[1].error().message() == "text 1 is not valid UTF-8 (byte 0)"
    assert responses[1].error().code() == 3
    first, last = outputs(responses[0]), outputs(responses[3])
    assert (first["input_ids"] == last["input_ids"]).all()


def test_requests_in_one_call_get_what_each_gets_alone(model: Any) -> None:
    requests = [request(text.encode()) for text in ("갈비탕", "x " * 30, "", "비빔밥 🍚")]
    together = [outputs(response) for response in model.execute(requests)]
    for one, expected in zip(requests, together, strict=True):
        alone = outputs(model.execute([one])[0])
        for name, values in expected.items():
            assert (alone[name] == values).all()
