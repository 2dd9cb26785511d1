"""Every exception of aiohttp and every status of Triton, and what it is called in the domain."""

import asyncio

import aiohttp
import pytest

from proxy.errors import (
    DeadlineExceeded,
    EmbeddingError,
    EngineFailed,
    EngineOverloaded,
    EngineUnavailable,
    InvalidText,
)
from proxy.triton.client import refusal, translate


def every_aiohttp_error() -> set[type[Exception]]:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    return {kind for kind in below(aiohttp.ClientError) if kind.__module__.startswith("aiohttp.")}


UNAVAILABLE = {
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "UnixClientConnectorError",
}
TIMED_OUT = {"ServerTimeoutError", "SocketTimeoutError"}
FAILED = {
    "ClientError",
    "ClientHttpProxyError",
    "ClientResponseError",
    "ContentTypeError",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "RedirectClientError",
    "TooManyRedirects",
    "UploadAbortedError",
    "WSServerHandshakeError",
}


def test_every_exception_of_aiohttp_is_mapped_on_purpose() -> None:
    assert {kind.__name__ for kind in every_aiohttp_error()} <= UNAVAILABLE | TIMED_OUT | FAILED


@pytest.mark.parametrize("kind", sorted(every_aiohttp_error(), key=str))
def test_the_name_of_every_exception(kind: type[Exception]) -> None:
    error = kind.__new__(kind)  # its constructor's arguments are of no matter here
    expected: type[EmbeddingError] = EngineFailed
    if kind.__name__ in UNAVAILABLE:
        expected = EngineUnavailable
    elif kind.__name__ in TIMED_OUT:
        expected = DeadlineExceeded
    assert type(translate(error)) is expected


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), EngineUnavailable),
        (BrokenPipeError(), EngineUnavailable),
        (OSError(), EngineUnavailable),
        (asyncio.TimeoutError(), DeadlineExceeded),
        (ValueError(), EngineFailed),
    ],
)
def test_the_name_of_the_others(error: Exception, kind: type[EmbeddingError]) -> None:
    assert type(translate(error)) is kind


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "text 0 is not valid UTF-8 (byte 2)", InvalidText),
        (400, "Request for unknown model: 'sentence_embedding' is not found", EngineUnavailable),
        (400, "Request for unknown model: 'sentence_embedding' has no available versions", EngineUnavailable),
        (400, "unexpected shape for input 'text'", EngineFailed),
        (404, "Request for unknown model: 'sentence_embedding' is not found", EngineUnavailable),
        (408, "", DeadlineExceeded),
        (429, "", EngineOverloaded),
        (500, "Stub process is not healthy.", EngineUnavailable),
        (500, "boom", EngineFailed),
        (500, "text 0 is not valid UTF-8 (byte 2)", EngineFailed),
        (501, "not supported", EngineFailed),
        (502, "Bad Gateway", EngineUnavailable),
        (503, "Server exiting", EngineUnavailable),
        (503, "Exceeds maximum queue size", EngineOverloaded),
        (504, "", DeadlineExceeded),
        (301, "", EngineFailed),
        (204, "", EngineFailed),
        (418, "", EngineFailed),
    ],
)
def test_the_name_of_every_status(status: int, message: str, kind: type[EmbeddingError]) -> None:
    for content in (b'{"error": "' + message.encode() + b'"}', message.encode()):
        error = refusal(status, content)
        assert type(error) is kind
        assert not message or message not in str(error)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'"x"', b"[" * 100_000, b'{"error": {"a": 1}}'])
def test_a_refusal_may_say_anything(content: bytes) -> None:
    assert type(refusal(500, content)) is EngineFailed
