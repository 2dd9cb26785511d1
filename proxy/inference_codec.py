"""Triton's inference protocol over HTTP: JSON with binary tensors behind it. tritonclient writes requests."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from proxy.embedder import Text, TruncationSide
from proxy.errors import EngineFailed

_IDENTITY_BYTES = 16

# Triton's names of the types whose elements have one size; its machine and this one are both little-endian.
_DATATYPES: dict[object, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
} | {f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits}") for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)}


def text_parameters(texts: Sequence[Text], truncation: TruncationSide) -> dict[str, str]:
    """The parameters that the tokenizer step needs for these texts (model_repository/tokenizer/); mostly none."""
    parameters: dict[str, str] = {}
    if truncation != "right":
        parameters["truncation_side"] = truncation
    if not isinstance(texts[0], str):
        parameters["text_format"] = "token_ids"
    return parameters


def encode_inference(texts: Sequence[Text], outputs: Sequence[str], parameters: Mapping[str, Any]) -> tuple[bytes, int]:
    """A request for these outputs: its body, and the length of the JSON at its start."""
    # Surrogates never get this far from the endpoints; "replace" would hide it if they did.
    elements = [text.encode("utf-8") if isinstance(text, str) else orjson.dumps(text) for text in texts]
    encoded = np.array(elements, dtype=np.object_).reshape(len(texts), 1)
    tensor = InferInput("text", [len(texts), 1], "BYTES").set_data_from_numpy(encoded, binary_data=True)
    body, header_length = InferenceServerClient.generate_request_body(
        [tensor],
        outputs=[InferRequestedOutput(name, binary_data=True) for name in outputs],
        parameters=dict(parameters) or None,
    )
    return body, header_length


def decode_inference(content: bytes, json_length: bytes | None, outputs: Sequence[str]) -> list[NDArray[Any]]:
    """An answer's outputs, in the order asked: views of `content`, or copies where that is not aligned for their type.

    `json_length`: of the JSON at the start of `content`, as Triton's header has it; the tensors follow it one after
    another. Raises `EngineFailed` for what is not whole: each tensor has the bytes that its type and shape need, and
    nothing is left over.
    """
    try:
        end = len(content) if json_length is None else _length(json_length.decode("ascii"))
        tensors: dict[str, NDArray[Any]] = {}
        for described in orjson.loads(memoryview(content)[:end])["outputs"]:
            size = described["parameters"]["binary_data_size"]
            tensor = _tensor(content, end, size, described["datatype"], described["shape"])
            end += size
            if tensors.setdefault(described["name"], tensor) is not tensor:
                raise ValueError("an output comes twice")
        if end != len(content):
            raise ValueError("there are bytes after the last tensor")
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise EngineFailed("The engine's answer could not be decoded.") from error
    for name in outputs:
        if name not in tensors:
            raise EngineFailed(f"The engine's answer lacks the output {name!r}.")
    return [tensors[name] for name in outputs]


def _length(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("a length is not a whole number")
    return int(digits)


def _tensor(content: bytes, start: int, size: object, datatype: object, shape: object) -> NDArray[Any]:
    """A tensor whose bytes begin at `start`. Raises `ValueError` or one of its like."""
    element = _DATATYPES[datatype]
    if not isinstance(shape, list) or not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ValueError("a shape is not a list of whole numbers")
    if type(size) is not int or size != element.itemsize * math.prod(shape) or size > len(content) - start:
        raise ValueError("a tensor has not the bytes that it needs")
    tensor: NDArray[Any] = np.frombuffer(content, element, size // element.itemsize, start).reshape(shape)
    return tensor if tensor.flags.aligned else tensor.copy()


def decode_identity(rows: NDArray[Any], count: int) -> str:
    """The identity that each of an answer's rows carries, uint8 `[N, 16]`, in hexadecimal. Raises `EngineFailed`.

    >>> decode_identity(np.array([range(16), range(16)], np.uint8), 2)
    '000102030405060708090a0b0c0d0e0f'
    """
    if rows.dtype != np.uint8 or rows.shape != (count, _IDENTITY_BYTES):
        raise EngineFailed("The engine does not say whose answer this is.")
    first: bytes = rows[0].tobytes()
    if rows.tobytes() != first * count:
        raise EngineFailed("The engine's answer is of several models.")
    return first.hex()
