"""Every error of the transport and every status of Triton, and what it is called in the domain."""

import pytest

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
    EndedWhileIdle,
    NotHttp,
    NotOpen,
    TransportError,
)
from proxy.triton.translation import refusal, translate


def every_transport_error() -> set[type[TransportError]]:
    def below(kind: type[TransportError]) -> set[type[TransportError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    return below(TransportError) - {TransportError}


EXPECTED = {
    NotOpen: EngineUnavailable,
    CannotConnect: EngineUnavailable,
    ConnectTimedOut: EngineUnavailable,
    ConnectionEnded: EngineUnavailable,
    EndedWhileIdle: EngineUnavailable,
    AnswerTooLarge: EngineFailed,
    NotHttp: EngineFailed,
}


def test_every_error_of_the_transport_is_mapped_on_purpose() -> None:
    assert every_transport_error() == set(EXPECTED)


@pytest.mark.parametrize("kind", sorted(every_transport_error(), key=str))
def test_the_name_of_every_error(kind: type[TransportError]) -> None:
    error = translate(kind("10.0.0.1"))
    assert type(error) is EXPECTED[kind]
    assert "10.0.0.1" not in str(error)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "text 0 is not valid UTF-8 (byte 2)", InvalidText),
        (400, "Request for unknown model: 'sentence_embedding' is not found", EngineUnavailable),
        (400, "Request for unknown model: 'sentence_embedding' has no available versions", EngineUnavailable),
        (400, "unexpected shape for input 'text'", EngineFailed),
        (400, "unexpected inference output 'model_identity' for model 'sentence_embedding'", OutdatedExport),
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


def test_a_text_that_cannot_be_truncated_is_told_with_the_limit() -> None:
    message = b'{"error": "text 3 is not valid: its tokens are not certain within 262144 characters"}'
    error = refusal(400, message)
    assert isinstance(error, InvalidText)
    assert str(error) == "A text cannot be truncated: 262144 characters of it do not tell its tokens."
