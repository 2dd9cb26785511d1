"""Triton's inference protocol over HTTP, by tritonclient's codec: JSON with binary tensors behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from proxy.embedding.base import Text, TruncationSide
from proxy.errors import EngineFailed


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


def decode_inference(
    content: bytes, header_length: int | None, outputs: Sequence[str]
) -> tuple[list[NDArray[Any]], str]:
    """An answer's outputs, in the order asked, and the version of the model that gave it. Raises `EngineFailed`."""
    try:
        result = InferenceServerClient.parse_response_body(content, header_length=header_length)
        values = [result.as_numpy(name) for name in outputs]
        version = str(result.get_response().get("model_version", ""))
    # The codec checks little: what it trips over in an odd answer is an error of any of these kinds.
    except (
        InferenceServerException,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        UnboundLocalError,
    ) as error:
        raise EngineFailed("The engine's answer could not be decoded.") from error
    for name, value in zip(outputs, values, strict=True):
        if value is None:
            raise EngineFailed(f"The engine's answer lacks the output {name!r}.")
    return values, version
