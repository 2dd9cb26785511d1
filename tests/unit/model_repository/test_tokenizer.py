"""The tokenizer step: its pure functions, and its adapter with a fake Triton."""

import doctest
import time
from typing import Any

import numpy as np
import pytest

from tests.unit.model_repository.conftest import IDENTITY, LIMIT, FakeRequest, Load


def request(*texts: bytes, **parameters: Any) -> FakeRequest:
    return FakeRequest(parameters=parameters, text=np.array([[text] for text in texts], dtype=object))


def outputs(response: Any) -> dict[str, Any]:
    return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def test_the_examples_in_the_docstrings(load: Load) -> None:
    assert doctest.testmod(load("tokenizer", "tokenization")).failed == 0


def test_shapes_and_types(tokenizer_step: Any) -> None:
    (response,) = tokenizer_step.execute([request("갈비탕".encode(), "김치찌개 맛있게 끓이는 법".encode(), b"")])
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
def test_counts_before_truncation(tokenizer_step: Any, words: int, truncated: bool) -> None:
    (response,) = tokenizer_step.execute([request("무 ".encode() * words)])
    tensors = outputs(response)
    assert tensors["token_count"].tolist() == [[words + 2]]
    assert tensors["truncated"].tolist() == [[truncated]]
    assert tensors["input_ids"].shape == (1, LIMIT), "never padded over the limit"
    assert tensors["input_ids"][0, -1] == (2 if words >= LIMIT - 2 else 1), "the end token survives truncation"


def test_a_text_that_is_not_utf8_fails_alone(tokenizer_step: Any) -> None:
    good, bad = "두부조림".encode(), b"\xff\xfe"
    responses = tokenizer_step.execute(
        [request(good), request(good, bad), request("\ud800".encode("utf-8", "surrogatepass")), request(good)]
    )
    assert [response.error() is None for response in responses] == [True, False, False, True]
    assert responses[1].error().message() == "text 1 is not valid UTF-8 (byte 0)"
    assert responses[1].error().code() == 3
    first, last = outputs(responses[0]), outputs(responses[3])
    assert (first["input_ids"] == last["input_ids"]).all()


def test_requests_in_one_call_get_what_each_gets_alone(tokenizer_step: Any) -> None:
    requests = [request(text.encode()) for text in ("갈비탕", "x " * 30, "", "비빔밥 🍚")]
    together = [outputs(response) for response in tokenizer_step.execute(requests)]
    for one, expected in zip(requests, together, strict=True):
        alone = outputs(tokenizer_step.execute([one])[0])
        for name, values in expected.items():
            assert (alone[name] == values).all()


def test_the_span_is_begin_and_end_of_the_step(tokenizer_step: Any) -> None:
    before = time.monotonic_ns()
    asked = FakeRequest(["tokenizer_span"], text=np.array([[b"a"], [b"b"]], dtype=object))
    response, without = tokenizer_step.execute([asked, request(b"a")])
    span = outputs(response)["tokenizer_span"]
    assert (span.dtype, span.shape) == (np.int64, (2, 2))
    assert (span == span[0]).all()
    assert before <= span[0, 0] < span[0, 1] <= time.monotonic_ns()
    assert "tokenizer_span" not in outputs(without)


def test_each_row_says_whose_it_is_where_that_is_asked(tokenizer_step: Any) -> None:
    asked = FakeRequest(["model_identity"], text=np.array([[b"a"], [b"b"]], dtype=object))
    response, without = tokenizer_step.execute([asked, request(b"a")])
    identity = outputs(response)["model_identity"]
    assert (identity.dtype, identity.shape) == (np.uint8, (2, 16))
    assert {row.tobytes().hex() for row in identity} == {IDENTITY}
    assert "model_identity" not in outputs(without)


def test_a_text_that_cannot_be_cut_fails_its_request_alone(tokenizer_step: Any) -> None:
    refused, answered = tokenizer_step.execute([request(b"a", "🍚".encode() * 300_000), request(b"a")])
    assert refused.error().message() == "text 1 is not valid: its tokens are not certain within 262144 characters"
    assert refused.error().code() == 3
    assert answered.error() is None


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_text_of_millions_of_characters_is_what_its_end_is(tokenizer_step: Any, side: str) -> None:
    end = "김치찌개 " * 100
    long = ("된장찌개 " * 1_000_000 + end) if side == "left" else (end + "된장찌개 " * 1_000_000)
    found, expected = (
        outputs(tokenizer_step.execute([request(text.encode(), truncation_side=side)])[0]) for text in (long, end)
    )
    assert (found["input_ids"] == expected["input_ids"]).all()
    assert found["truncated"].tolist() == [[True]]
    assert LIMIT < found["token_count"][0, 0] < 4096
