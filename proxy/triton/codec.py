"""Triton's inference protocol over HTTP: JSON with binary tensors behind it. tritonclient writes requests."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from proxy.embedding.base import Text, TruncationSide
from proxy.errors import EngineFailed

_IDENTITY_BYTES = 16
_MAX_JSON_BYTES = 64 * 2**10  # of an answer's description; a usual one has 600

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
        outputs=_requested(tuple(outputs)),
        parameters=dict(parameters) or None,
    )
    return body, header_length


@lru_cache(maxsize=8)
def _requested(outputs: tuple[str, ...]) -> list[InferRequestedOutput]:
    return [InferRequestedOutput(name, binary_data=True) for name in outputs]


def decode_inference(content: bytes, json_length: bytes | None, outputs: Sequence[str]) -> list[NDArray[Any]]:
    """An answer's outputs, in the order asked: views of `content`, or copies where that is not aligned for their type.

    `json_length`: of the JSON at the start of `content`, as Triton's header has it; the tensors follow it one after
    another. Raises `EngineFailed` for what is not whole: each tensor has the bytes that its type and shape need, and
    nothing is left over.
    """
    try:
        end = len(content) if json_length is None else _length(json_length.decode("ascii"))
        places = _places(content[:end], len(content) - end)
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise EngineFailed("The engine's answer could not be decoded.") from error
    tensors = []
    for name in outputs:
        if name not in places:
            raise EngineFailed(f"The engine's answer lacks the output {name!r}.")
        element, shape, start, elements = places[name]
        tensor: NDArray[Any] = np.frombuffer(content, element, elements, end + start).reshape(shape)
        tensors.append(tensor if tensor.flags.aligned else tensor.copy())
    return tensors


class _Place(NamedTuple):
    """Where a tensor is in an answer."""

    element: np.dtype[Any]
    shape: tuple[int, ...]
    start: int  # bytes from the end of the JSON
    elements: int


@lru_cache(maxsize=256)  # answers for as many texts begin with the same JSON
def _places(described: bytes, size: int) -> dict[str, _Place]:
    """The tensors that the JSON of an answer describes, by name; `size`: of all of them together, in bytes.

    Raises `ValueError` or one of its like where they are not so many bytes.
    """
    if not 0 <= len(described) <= _MAX_JSON_BYTES:
        raise ValueError("the JSON is larger than any that is expected")
    places: dict[str, _Place] = {}
    start = 0
    for output in orjson.loads(described)["outputs"]:
        name, element, shape = output["name"], _DATATYPES[output["datatype"]], output["shape"]
        length = output["parameters"]["binary_data_size"]
        if not isinstance(shape, list) or not all(type(extent) is int and extent >= 0 for extent in shape):
            raise ValueError("a shape is not a list of whole numbers")
        count = math.prod(shape)
        if type(length) is not int or length != element.itemsize * count:
            raise ValueError("a tensor has not the bytes that it needs")
        if name in places:
            raise ValueError("an output comes twice")
        np.broadcast_to(np.zeros((), element), shape)  # an array may have this shape at all
        places[name] = _Place(element, tuple(shape), start, count)
        start += length
    if start != size:
        raise ValueError("the tensors are not all of the bytes")
    return places


def _length(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("a length is not a whole number")
    return int(digits)


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
