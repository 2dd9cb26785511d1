"""Settings from the environment, and the sentence that a bad one stops the start with."""

import pytest
from pydantic import ValidationError

from proxy.settings import InvalidSettings, Settings, read_settings


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_defaults() -> None:
    settings = read_settings()
    assert (settings.proxy_host, settings.proxy_port) == ("127.0.0.1", 8001)
    assert settings.triton_url == "http://127.0.0.1:8000"
    assert settings.deadline_seconds == 30
    assert settings.cors_origins == ("*",)
    assert (settings.log_level, settings.log_format) == ("info", "text")
    assert settings.max_body_mb == 20
    assert settings.expected_model_name == ""


def test_they_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        read_settings().proxy_port = 1


def test_each_says_what_it_is_in_one_sentence() -> None:
    for field in Settings.model_fields.values():
        assert field.description is not None
        assert field.description.endswith(".")
        assert field.description.count(".  ") == 0


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_an_empty_one_counts_as_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert read_settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "value", "field", "meant"),
    [
        ("PROXY_HOST", "0.0.0.0", "proxy_host", "0.0.0.0"),
        ("PROXY_PORT", "9000", "proxy_port", 9000),
        ("TRITON_URL", "triton:8000", "triton_url", "http://triton:8000"),
        ("TRITON_URL", "http://triton:8000/", "triton_url", "http://triton:8000"),
        ("TRITON_URL", "https://triton", "triton_url", "https://triton"),
        ("TRITON_URL", "[::1]:8000", "triton_url", "http://[::1]:8000"),
        ("DEADLINE_SECONDS", "0.5", "deadline_seconds", 0.5),
        (
            "CORS_ORIGINS",
            "https://a.example, http://b.example:81/",
            "cors_origins",
            ("https://a.example", "http://b.example:81"),
        ),
        ("LOG_LEVEL", "WARNING", "log_level", "warning"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("MAX_BODY_MB", "1", "max_body_mb", 1),
        ("EXPECTED_MODEL", "sentence-transformers/all-MiniLM-L6-v2", "expected_model_name", "all-MiniLM-L6-v2"),
        ("EXPECTED_MODEL", "all-MiniLM-L6-v2", "expected_model_name", "all-MiniLM-L6-v2"),
    ],
)
def test_a_value_is_taken(name: str, value: str, field: str, meant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(read_settings(), field) == meant


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROXY_PORT", "http"),
        ("PROXY_PORT", "0"),
        ("PROXY_PORT", "65536"),
        ("TRITON_URL", "grpc://triton:8001"),
        ("TRITON_URL", "http://triton:port"),
        ("TRITON_URL", "http://"),
        ("TRITON_URL", "http://[::1"),
        ("TRITON_URL", "http://user@triton:8000"),
        ("TRITON_URL", "http://triton:8000/v2"),
        ("DEADLINE_SECONDS", "0"),
        ("DEADLINE_SECONDS", "-1"),
        ("DEADLINE_SECONDS", "nan"),
        ("DEADLINE_SECONDS", "inf"),
        ("DEADLINE_SECONDS", "soon"),
        ("CORS_ORIGINS", "example.com"),
        ("CORS_ORIGINS", "*,https://a.example"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("CORS_ORIGINS", "https://*.example"),
        ("CORS_ORIGINS", ","),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("MAX_BODY_MB", "0"),
        ("MAX_BODY_MB", "1.5"),
        ("API_KEYS", ","),
        ("API_KEYS_FILE", "/no/such/file"),
    ],
)
def test_a_bad_value_is_one_sentence_with_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as raised:
        read_settings()
    sentence = str(raised.value)
    assert sentence.startswith(f"{name} is ")
    assert "should" in sentence
    assert "\n" not in sentence
