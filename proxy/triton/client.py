"""Triton over HTTP: what is asked of it, and the one place that knows its and aiohttp's errors.

tritonclient brings the codec (binary tensors both ways), aiohttp the transport: tritonclient's own asyncio client
hides the connections, and which connection an answer came over is what tells one Triton process from the next.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import aiohttp
from numpy.typing import NDArray
from opentelemetry.trace import Tracer
from tritonclient.utils import InferenceServerException
from yarl import URL

from proxy.embedding.base import Text, TruncationSide
from proxy.errors import (
    DeadlineExceeded,
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
    UnknownOutput,
)
from proxy.triton.codec import decode_inference, encode_inference, text_parameters
from proxy.triton.connections import LAST_PICKED, NumberedConnections, Span
from proxy.triton.model import SPANS
from proxy.triton.spans import inference_span

ENSEMBLE = "sentence_embedding"
TOKENIZER = "tokenizer"

# Past this many requests at once the rest waits here, where a deadline can still take it out of the queue.
_MAX_CONNECTIONS = 64
# A host that does not even refuse a connection is away; the whole deadline is not spent on finding out.
_CONNECT_SECONDS = 2.0
# Longer than pauses between requests, so that a new connection, and what it costs, is rare.
_IDLE_SECONDS = 300.0

_HEADER_LENGTH = "Inference-Header-Content-Length"

# What Triton's messages say where its status alone does not tell: a model that is loading or a stub that is restarted
# comes as 400, 404 or 500, and so does a text that its tokenizer step refuses (400).
_NOT_READY = re.compile(r"unknown model|no available versions|not ready|is not healthy|is not found", re.IGNORECASE)
_QUEUE_FULL = re.compile(r"queue size|overload|too many", re.IGNORECASE)
_REFUSED_TEXT = re.compile(r"\btext (\d+) is not valid( token ids)?", re.IGNORECASE)

_UNKNOWN_OUTPUT = re.compile(r"unexpected inference output", re.IGNORECASE)

_TOKEN_COUNT = "token_count"

T = TypeVar("T")


@dataclass(frozen=True)
class Reply(Generic[T]):
    """An answer, when the connection that it came over was open, and the version of the ensemble that it is of."""

    value: T
    span: Span
    version: str = ""  # Triton's number of it; empty where the answer does not tell


@dataclass(frozen=True, eq=False)
class Inference:
    """What the ensemble put out for N texts, as it came: unchecked."""

    vectors: NDArray[Any]
    token_counts: NDArray[Any]
    tokenizer_span: NDArray[Any] | None = None  # where they were asked for, as the next one
    pooling_span: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Tokenization:
    """What the tokenizer put out for N texts, as it came: unchecked."""

    input_ids: NDArray[Any]
    attention_mask: NDArray[Any]
    token_counts: NDArray[Any]


class TritonClient:
    """Asks one Triton. No method has a time limit of its own: the caller cancels."""

    def __init__(self, url: str, tracer: Tracer | None = None) -> None:
        """`tracer`: makes a span of each inference, which Triton's own spans join; None for no spans."""
        self._ensemble_url = URL(f"{url}/v2/models/{ENSEMBLE}")
        self._tokenizer_url = URL(f"{url}/v2/models/{TOKENIZER}")
        self._tracer = tracer
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Makes the pool of connections; none is opened yet."""
        self._connections = NumberedConnections(_MAX_CONNECTIONS, _IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=self._connections,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )

    async def close(self) -> None:
        """Closes every connection."""
        session, self._session = self._session, None  # first: what is tried once more must find it closed
        if session is not None:
            await session.close()

    async def version(self) -> str:
        """The version of the ensemble that answers now. Raises `EmbeddingError`."""
        content, _, _ = await self._exchange("GET", self._ensemble_url)
        try:
            versions = json.loads(content)["versions"]
            return str(max(versions, key=int))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise EngineFailed("The engine's answer to which versions it has is not as expected.") from error

    async def config(self, version: str) -> Reply[Any]:
        """The configuration of a version of the ensemble, from JSON. Raises `EmbeddingError`."""
        content, _, span = await self._exchange("GET", self._ensemble_url / "versions" / version / "config")
        try:
            return Reply(json.loads(content), span, version)
        except (ValueError, RecursionError) as error:
            raise EngineFailed("The engine's model configuration is not JSON.") from error

    async def infer(
        self, texts: Sequence[Text], output: str, truncation: TruncationSide = "right", spans: bool = False
    ) -> Reply[Inference]:
        """The ensemble's `output` for N texts, and their token counts, in one request. Raises `EmbeddingError`.

        The texts are all strings or all token ids. With `spans` the times of the steps, too: `UnknownOutput` where the
        ensemble has none.
        """
        outputs = (output, _TOKEN_COUNT, *SPANS) if spans else (output, _TOKEN_COUNT)
        reply = await self._infer(self._ensemble_url, texts, outputs, text_parameters(texts, truncation))
        return Reply(Inference(*reply.value), reply.span, reply.version)

    async def tokenize(
        self, texts: Sequence[Text], truncation: TruncationSide, special_tokens: bool
    ) -> Reply[Tokenization]:
        """What the ensemble's tokenizer makes of N texts, in one request. Raises `EmbeddingError`."""
        parameters = text_parameters(texts, truncation) | {"special_tokens": special_tokens}
        outputs = ("input_ids", "attention_mask", _TOKEN_COUNT)
        reply = await self._infer(self._tokenizer_url, texts, outputs, parameters)
        return Reply(Tokenization(*reply.value), reply.span)

    async def _infer(
        self, model: URL, texts: Sequence[Text], outputs: Sequence[str], parameters: Mapping[str, Any]
    ) -> Reply[list[NDArray[Any]]]:
        body, header_length = encode_inference(texts, outputs, parameters)
        try:
            with inference_span(self._tracer, model / "infer", len(texts)) as trace:
                content, answer_header_length, span = await self._exchange(
                    "POST", model / "infer", body, {_HEADER_LENGTH: str(header_length), **trace}
                )
        except InvalidText as error:
            named = _REFUSED_TEXT.search(str(error.__cause__))
            if named and int(named[1]) < len(texts):
                error.text = texts[int(named[1])]
            raise
        values, version = decode_inference(content, answer_header_length, outputs)
        return Reply(values, span, version)

    async def _exchange(
        self, method: str, url: URL, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, int | None, Span]:
        """One request: content, length of the JSON at its start, span. Raises `EmbeddingError`."""
        try:
            return await self._send(method, url, body, headers)
        except _ClosedWhileIdle:
            # Triton had closed the kept connection before it saw the request. Once more, and once only: embedding
            # twice changes nothing.
            try:
                return await self._send(method, url, body, headers)
            except _ClosedWhileIdle as error:
                raise translate(error.cause) from error.cause

    async def _send(
        self, method: str, url: URL, body: bytes | None, headers: dict[str, str] | None
    ) -> tuple[bytes, int | None, Span]:
        if self._session is None:
            raise EngineUnavailable("The connection to the engine is closed.")
        LAST_PICKED.set(None)
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                picked = LAST_PICKED.get()
                assert picked is not None
                span = Span(picked.number, self._connections.made)
                content = await response.read()
                if response.status != HTTPStatus.OK:
                    raise refusal(response.status, content)
                length = response.headers.get(_HEADER_LENGTH)
                return content, None if length is None else int(length), span
        except EmbeddingError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            picked = LAST_PICKED.get()
            if picked is not None and picked.reused:
                raise _ClosedWhileIdle(error) from error
            raise translate(error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translate(error) from error


class _ClosedWhileIdle(Exception):
    """A kept connection broke before any answer came over it."""

    def __init__(self, cause: aiohttp.ClientError) -> None:
        super().__init__(cause)
        self.cause = cause


def translate(error: Exception) -> EmbeddingError:
    """What went wrong on the way to Triton or back, in the domain's terms."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return EngineUnavailable("The engine does not take connections.")
    if isinstance(error, asyncio.TimeoutError):
        return DeadlineExceeded("The engine did not answer in time.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return EngineUnavailable("The engine is not there or not ready yet.")
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return EngineUnavailable("The engine closed the connection before its answer was complete.")
    return EngineFailed("The engine's answer is not valid HTTP.")


def refusal(status: int, content: bytes) -> EmbeddingError:
    """Triton's answer with any status but 200, in the domain's terms; its own message goes to the log alone."""
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        message = content[:200].decode("utf-8", "replace")
    error = _refusal(status, message)
    error.__cause__ = InferenceServerException(msg=message[:500], status=str(status))
    return error


def _refusal(status: int, message: str) -> EmbeddingError:
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and _QUEUE_FULL.search(message)
    ):
        return EngineOverloaded("The engine has more to do than it takes on.")
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE):
        return EngineUnavailable("The engine is not ready.")
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GATEWAY_TIMEOUT):
        return DeadlineExceeded("The engine did not answer in time.")
    if status == HTTPStatus.BAD_REQUEST and (refused := _REFUSED_TEXT.search(message)):
        if refused[2]:
            return InvalidText("The token ids of a text are not all in the model's vocabulary.")
        return InvalidText("The engine refused a text as not valid.")
    if status == HTTPStatus.BAD_REQUEST and _UNKNOWN_OUTPUT.search(message):
        return UnknownOutput("The engine has not all of the outputs that it was asked for.")
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR) and _NOT_READY.search(message):
        return EngineUnavailable("The engine is not ready.")
    return EngineFailed("The engine failed on the request.")
