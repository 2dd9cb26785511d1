"""What went wrong between the proxy and Triton, in the domain's terms: the one place that names Triton's failures."""

import json
import re
from http import HTTPStatus

from tritonclient.utils import InferenceServerException

from proxy.errors import (
    DeadlineExceeded,
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
    OutdatedExport,
)
from proxy.triton.connection import (
    AnswerTooLarge,
    CannotConnect,
    ConnectionEnded,
    ConnectTimedOut,
    NotHttp,
    NotOpen,
    TransportError,
)

_MEANINGS: dict[type[TransportError], tuple[type[EmbeddingError], str]] = {
    NotOpen: (EngineUnavailable, "The connection to the engine is closed."),
    CannotConnect: (EngineUnavailable, "The engine is not there or not ready yet."),
    ConnectTimedOut: (EngineUnavailable, "The engine does not take connections."),
    ConnectionEnded: (EngineUnavailable, "The engine closed the connection before its answer was complete."),
    AnswerTooLarge: (EngineFailed, "The engine's answer is larger than any that is expected."),
    NotHttp: (EngineFailed, "The engine's answer is not valid HTTP."),
}

# What Triton's messages say where its status alone does not tell: a model that is loading or a stub that is restarted
# comes as 400, 404 or 500, and so does a text that its tokenizer step refuses (400).
_NOT_READY = re.compile(r"unknown model|no available versions|not ready|is not healthy|is not found", re.IGNORECASE)
_QUEUE_FULL = re.compile(r"queue size|overload|too many", re.IGNORECASE)
_REFUSED_TEXT = re.compile(r"\btext (\d+) is not valid( token ids|.*? within (\d+) characters)?", re.IGNORECASE)
_UNKNOWN_OUTPUT = re.compile(r"unexpected inference output", re.IGNORECASE)


def translate(error: TransportError) -> EmbeddingError:
    """What went wrong on the way to Triton or back."""
    kind, sentence = next(_MEANINGS[kind] for kind in type(error).__mro__ if kind in _MEANINGS)
    return kind(sentence)


def refusal(status: int, content: bytes) -> EmbeddingError:
    """Triton's answer with any status but 200; its own message goes to the log alone."""
    try:
        message = str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        message = content[:200].decode("utf-8", "replace")
    error = _refusal(status, message)
    error.__cause__ = InferenceServerException(msg=message[:500], status=str(status))
    return error


def refused_text(error: InvalidText) -> int | None:
    """The place of the text that Triton refused, where it says so."""
    named = _REFUSED_TEXT.search(str(error.__cause__))
    return int(named[1]) if named else None


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
        if refused[3]:
            return InvalidText(f"A text cannot be truncated: {refused[3]} characters of it do not tell its tokens.")
        if refused[2]:
            return InvalidText("The token ids of a text are not all in the model's vocabulary.")
        return InvalidText("The engine refused a text as not valid.")
    if status == HTTPStatus.BAD_REQUEST and _UNKNOWN_OUTPUT.search(message):
        return OutdatedExport()
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR) and _NOT_READY.search(message):
        return EngineUnavailable("The engine is not ready.")
    return EngineFailed("The engine failed on the request.")
