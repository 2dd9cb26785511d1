"""What a request is refused with before a route sees it, as the rooms tell one another."""

from http import HTTPStatus
from typing import NamedTuple, Protocol

# In the state that the server hands each request: a `Refusals`, put there by the application.
REFUSALS = "refusals"
# In the state of a request that reached the application before the server refused it: the `Refusal`.
REFUSAL = "refusal"


class Refusal(NamedTuple):
    """Status and sentence of an answer that the server gives by itself."""

    status: HTTPStatus
    sentence: str


UNKNOWN_CODING = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "The Content-Encoding of the request body is not supported: send it as gzip or deflate, or without an encoding.",
)
UNKNOWN_CHARSET = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The charset of the request body is not supported: send it as UTF-8."
)
NOT_AS_ENCODED = Refusal(HTTPStatus.BAD_REQUEST, "The request body is not what its Content-Encoding says.")


class Refusals(Protocol):
    """How the application wants refusals written, and where it wants them counted and logged."""

    def body(self, refusal: Refusal, url: bytes) -> bytes:
        """The JSON of the answer; `url` as it was sent, empty where it is not known."""

    def refused(self, refusal: Refusal, method: str, url: bytes, seconds: float) -> None:
        """A request was refused before the application saw it; `method` is empty where it is not known."""
