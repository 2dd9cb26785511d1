"""Triton over HTTP: what is asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import orjson
from numpy.typing import NDArray
from opentelemetry.trace import Tracer

from proxy.embedding.base import Text, TruncationSide
from proxy.errors import EngineFailed, InvalidText
from proxy.triton.codec import decode_identity, decode_inference, encode_inference, text_parameters
from proxy.triton.connection import Answer, TransportError
from proxy.triton.pool import ConnectionPool
from proxy.triton.spans import inference_span
from proxy.triton.translation import refusal, refused_text, translate

ENSEMBLE = "sentence_embedding"
TOKENIZER = "tokenizer"

_IDENTITY = "model_identity"
_OF_TEXTS = ("token_count", "tokenizer_span", "pooling_span", _IDENTITY)  # beside the vectors
_OF_TOKENS = ("input_ids", "attention_mask", "token_count", _IDENTITY)


@dataclass(frozen=True, eq=False)
class Inference:
    """What the ensemble put out for N texts, as it came: unchecked but for the identity."""

    vectors: NDArray[Any]
    token_counts: NDArray[Any]
    tokenizer_span: NDArray[Any]
    pooling_span: NDArray[Any]
    identity: str  # of the model that computed this answer


@dataclass(frozen=True, eq=False)
class Tokenization:
    """What the tokenizer put out for N texts, as it came: unchecked but for the identity."""

    input_ids: NDArray[Any]
    attention_mask: NDArray[Any]
    token_counts: NDArray[Any]
    identity: str


class TritonClient:
    """Asks one Triton. No method has a time limit of its own: the caller cancels."""

    def __init__(self, url: str, tracer: Tracer | None = None) -> None:
        """`url`: http://host:port or https://host:port.

        `tracer`: makes a span of each inference, which Triton's own spans join; None for no spans.
        """
        self._url = url
        self._pool = ConnectionPool(url)
        self._tracer = tracer
        address = urlsplit(url).netloc
        self._host = address if address.isascii() else address.encode("idna").decode("ascii")

    async def open(self) -> None:
        """Lets requests in; no connection is made yet."""
        await self._pool.open()

    async def close(self) -> None:
        """Closes every connection."""
        await self._pool.close()

    async def config(self) -> Any:
        """The configuration of the ensemble that is served now, from JSON. Raises `EmbeddingError`."""
        answer = await self._exchange("GET", f"/v2/models/{ENSEMBLE}/config", {})
        try:
            return orjson.loads(answer.content)
        except ValueError as error:
            raise EngineFailed("The engine's model configuration is not JSON.") from error

    async def infer(self, texts: Sequence[Text], output: str, truncation: TruncationSide = "right") -> Inference:
        """The ensemble's `output` for N texts, and what it tells beside that, in one request. Raises `EmbeddingError`.

        The texts are all strings or all token ids.
        """
        parameters = text_parameters(texts, truncation)
        answer = await self._infer(ENSEMBLE, texts, (output, *_OF_TEXTS), parameters)
        vectors, token_counts, tokenizer_span, pooling_span, identity = answer
        return Inference(vectors, token_counts, tokenizer_span, pooling_span, decode_identity(identity, len(texts)))

    async def tokenize(
        self, texts: Sequence[Text], truncation: TruncationSide, special_tokens: bool, version: str = ""
    ) -> Tokenization:
        """What a version of the tokenizer, or the newest, makes of N texts, in one request. Raises `EmbeddingError`."""
        parameters = text_parameters(texts, truncation) | {"special_tokens": special_tokens}
        model = f"{TOKENIZER}/versions/{version}" if version else TOKENIZER
        input_ids, attention_mask, token_counts, identity = await self._infer(model, texts, _OF_TOKENS, parameters)
        return Tokenization(input_ids, attention_mask, token_counts, decode_identity(identity, len(texts)))

    async def _infer(
        self, model: str, texts: Sequence[Text], outputs: Sequence[str], parameters: Mapping[str, Any]
    ) -> list[NDArray[Any]]:
        body, json_length = encode_inference(texts, outputs, parameters)
        path = f"/v2/models/{model}/infer"
        try:
            with inference_span(self._tracer, self._url, path, len(texts)) as trace:
                headers = {"Inference-Header-Content-Length": str(json_length), **trace}
                answer = await self._exchange("POST", path, headers, body)
        except InvalidText as error:
            place = refused_text(error)
            if place is not None and place < len(texts):
                error.text = texts[place]
            raise
        return decode_inference(answer.content, answer.json_length, outputs)

    async def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request and its answer, whose status is 200. Raises `EmbeddingError`."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        try:
            answer = await self._pool.exchange("\r\n".join((*lines, "\r\n")).encode("latin-1") + body)
        except TransportError as error:
            raise translate(error) from error
        if answer.status != HTTPStatus.OK:
            raise refusal(answer.status, answer.content)
        return answer
