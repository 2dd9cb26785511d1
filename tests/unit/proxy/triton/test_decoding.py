"""Answers with binary tensors: as tritonclient reads them, and nothing but `EngineFailed` for what is not whole."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient

from proxy.errors import EngineFailed
from proxy.triton.codec import decode_identity, decode_inference

TYPES = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16, "FP32": np.float32,
    "FP64": np.float64,
}  # fmt: skip
Tensor = tuple[str, NDArray[Any]]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    name = draw(st.sampled_from(sorted(TYPES)))
    shape = draw(numpy_strategies.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    return name, draw(numpy_strategies.arrays(TYPES[name], shape))


def described(tensors: list[Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"tensor {place}",
            "datatype": datatype,
            "shape": list(values.shape),
            "parameters": {"binary_data_size": values.nbytes},
        }
        for place, (datatype, values) in enumerate(tensors)
    ]


def encode(outputs: Any, data: bytes, spaces: int = 0) -> tuple[bytes, bytes]:
    head = json.dumps({"model_name": "m", "model_version": "1", "outputs": outputs}).encode() + b" " * spaces
    return head + data, str(len(head)).encode()


def data_of(tensors: list[Tensor]) -> bytes:
    return b"".join(values.tobytes() for _, values in tensors)


@given(st.lists(tensors(), min_size=1, max_size=5), st.integers(0, 7))
def test_as_tritonclient_decodes(tensors: list[Tensor], spaces: int) -> None:
    content, length = encode(described(tensors), data_of(tensors), spaces)
    names = [f"tensor {place}" for place in range(len(tensors))]
    found = decode_inference(content, length, names[::-1])[::-1]
    oracle = InferenceServerClient.parse_response_body(content, header_length=int(length))
    for name, values, (_, sent) in zip(names, found, tensors, strict=True):
        expected = oracle.as_numpy(name)
        assert (values.dtype, values.shape) == (expected.dtype, expected.shape) == (sent.dtype, sent.shape)
        assert values.tobytes() == expected.tobytes()
        assert values.flags.aligned


def test_a_tensor_of_no_rows_has_its_shape() -> None:
    content, length = encode(described([("FP32", np.zeros((0, 4), np.float32))]), b"")
    (values,) = decode_inference(content, length, ["tensor 0"])
    assert values.dtype == np.float32
    assert values.shape == (0, 4)


WHOLE: list[Tensor] = [("FP32", np.zeros((2, 3), np.float32)), ("INT32", np.zeros((2, 1), np.int32))]
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([]), st.just({}),
    st.lists(st.integers(-2, 2**70), max_size=40), st.sampled_from(["BYTES", "BF16", "FP64", "INT8"]),
)  # fmt: skip


@settings(max_examples=500)
@given(st.data())
def test_what_is_not_whole_is_refused(data: st.DataObject) -> None:
    outputs: Any = described(WHOLE)
    place = data.draw(st.sampled_from([*outputs[0], "binary_data_size", "output", "outputs"]))
    odd = data.draw(ODD)
    if place == "binary_data_size":
        outputs[0]["parameters"][place] = odd
    elif place == "output":
        outputs[0] = odd
    elif place == "outputs":
        outputs = odd
    else:
        outputs[0][place] = odd
    if outputs == described(WHOLE):
        return
    content, length = encode(outputs, data_of(WHOLE))
    with pytest.raises(EngineFailed):
        decode_inference(content, length, ["tensor 0", "tensor 1"])


@given(st.data())
def test_a_broken_answer_is_decoded_or_refused(data: st.DataObject) -> None:
    content, length = encode(described(WHOLE), data_of(WHOLE))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    broken = content[:start] + data.draw(st.binary(max_size=8)) + content[end:]
    told = data.draw(st.sampled_from([length, None, b"", b"-1", b"1_0", b" 5", "²".encode(), b"9" * 5000, b"0"]))
    try:
        found = decode_inference(broken, told, ["tensor 0", "tensor 1"])
    except EngineFailed:
        return
    assert all(isinstance(values, np.ndarray) for values in found)


@pytest.mark.parametrize("extra", [b"x", data_of(WHOLE)])
def test_bytes_that_no_tensor_has(extra: bytes) -> None:
    content, length = encode(described(WHOLE), data_of(WHOLE) + extra)
    with pytest.raises(EngineFailed):
        decode_inference(content, length, ["tensor 0"])


def test_an_output_that_comes_twice() -> None:
    outputs = described(WHOLE)
    outputs[1]["name"] = "tensor 0"
    content, length = encode(outputs, data_of(WHOLE))
    with pytest.raises(EngineFailed):
        decode_inference(content, length, ["tensor 0"])


def test_an_output_that_is_not_there_is_named() -> None:
    content, length = encode(described(WHOLE), data_of(WHOLE))
    with pytest.raises(EngineFailed, match="lacks the output 'tensor 2'"):
        decode_inference(content, length, ["tensor 0", "tensor 2"])


@pytest.mark.parametrize(
    "rows",
    [np.zeros((1, 16), np.uint8), np.zeros((2, 15), np.uint8), np.zeros((2, 16), np.int8), np.zeros(32, np.uint8)],
)
def test_an_identity_of_another_shape(rows: NDArray[Any]) -> None:
    with pytest.raises(EngineFailed):
        decode_identity(rows, 2)
