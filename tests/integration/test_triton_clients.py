"""Direct users of Triton: tritonclient over HTTP and gRPC, every output, and a text that is not UTF-8."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.integration.conftest import Served

OUTPUTS = {
    "embedding": (np.float32, 384),
    "normalized_embedding": (np.float32, 384),
    "token_count": (np.int32, 1),
    "truncated": (np.bool_, 1),
}


def infer(
    client: Any, library: Any, texts: list[bytes], outputs: list[str], parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    tensor = library.InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[text] for text in texts], dtype=object))
    asked = [library.InferRequestedOutput(name) for name in outputs]
    result = client.infer("sentence_embedding", [tensor], outputs=asked, parameters=parameters)
    return {name: result.as_numpy(name) for name in outputs}


Ask = Callable[..., dict[str, Any]]


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, real_model: Served) -> Ask:
    """Asks for outputs by a client of its own: tritonclient's HTTP client must stay in the thread that made it."""

    def ask(texts: list[bytes], outputs: list[str], **parameters: Any) -> dict[str, Any]:
        if request.param == "http":
            client = tritonclient.http.InferenceServerClient(real_model.service.triton_http)
            library = tritonclient.http
        else:
            client = tritonclient.grpc.InferenceServerClient(real_model.service.triton_grpc)
            library = tritonclient.grpc
        with closing(client):
            return infer(client, library, texts, outputs, parameters or None)

    return ask


@pytest.mark.parametrize("count", [1, 100])
def test_all_outputs_at_once(triton: Ask, real_model: Served, count: int) -> None:
    texts = [f"김치찌개 {number}" for number in range(count)]
    found = triton([text.encode() for text in texts], list(OUTPUTS))
    for name, (dtype, width) in OUTPUTS.items():
        assert (found[name].dtype, found[name].shape) == (dtype, (count, width)), name
    expected = real_model.original.encode(texts)
    np.testing.assert_allclose(found["normalized_embedding"], expected, atol=1e-5)
    np.testing.assert_allclose(found["embedding"], expected, atol=1e-5)  # the model has a Normalize module
    counts = [len(real_model.original.tokenizer(text)["input_ids"]) for text in texts]
    assert found["token_count"][:, 0].tolist() == counts


@pytest.mark.parametrize("output", OUTPUTS)
def test_each_output_alone(triton: Ask, output: str) -> None:
    assert triton([b"a", b"b c"], [output])[output].shape == (2, OUTPUTS[output][1])


def test_truncation_is_told(triton: Ask) -> None:
    found = triton([b"a " * 254, b"a " * 255], ["token_count", "truncated"])
    assert found["token_count"].tolist() == [[256], [257]]
    assert found["truncated"].tolist() == [[False], [True]]


def test_a_text_that_is_not_utf8_is_refused(triton: Ask) -> None:
    with pytest.raises(InferenceServerException, match="text 1 is not valid UTF-8") as refused:
        triton([b"fine", b"\xff"], ["embedding"])
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def test_the_ensemble_hands_parameters_on_to_its_tokenizer(triton: Ask) -> None:
    long = b"first " + b"middle " * 300 + b"last"
    right, left = (
        triton([long], ["normalized_embedding"], truncation_side=side)["normalized_embedding"]
        for side in ("right", "left")
    )
    np.testing.assert_array_equal(triton([long], ["normalized_embedding"])["normalized_embedding"], right)
    assert np.abs(left - right).max() > 1e-4
    by_ids = triton([b"[2197]"], ["embedding"], text_format="token_ids")["embedding"]
    np.testing.assert_allclose(by_ids, triton([b"last"], ["embedding"])["embedding"], atol=1e-5)
    with pytest.raises(InferenceServerException, match="text 1 is not valid token ids: the vocabulary has no 99999"):
        triton([b"[]", b"[99999]"], ["embedding"], text_format="token_ids")
    with pytest.raises(InferenceServerException, match='it should be "right" or "left"'):
        triton([b"a"], ["embedding"], truncation_side="middle")


def tokenizer_counts(served: Served) -> tuple[int, int]:
    """(requests, executions) of the tokenizer, from Triton's statistics."""
    statistics = httpx.get(f"http://{served.service.triton_http}/v2/models/tokenizer/stats").json()["model_stats"][0]
    return statistics["inference_count"], statistics["execution_count"]


def test_neighbours_in_the_same_batch_get_their_vectors(triton: Ask, real_model: Served) -> None:
    texts = [b"\xc3\x28" if number % 3 == 0 else f"recipe {number}".encode() for number in range(48)]
    expected = real_model.original.encode([text.decode(errors="replace") for text in texts])
    requests, executions = tokenizer_counts(real_model)

    def ask(text: bytes) -> Any:
        try:
            return triton([text], ["normalized_embedding"])["normalized_embedding"][0]
        except InferenceServerException as error:
            return error

    shared = False
    for _ in range(20):  # until requests did meet in one execution
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, texts))
        for text, answer, vector in zip(texts, answers, expected, strict=True):
            if text == b"\xc3\x28":
                assert isinstance(answer, InferenceServerException)
            else:
                np.testing.assert_allclose(answer, vector, atol=1e-5)
        now = tokenizer_counts(real_model)
        shared = now[1] - executions < now[0] - requests
        if shared:
            break
    assert shared, "no two requests ever shared an execution"
