"""The launcher's settings: defaults, and sentences about values that cannot be used."""

import pytest

from runtime.errors import InvalidSettings
from runtime.settings import PROJECT_ROOT, Settings, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults_are_those_that_clients_know() -> None:
    settings = load_settings()
    assert {name: port for name, _, port in settings.listeners} == {
        "PROXY_PORT": 8001,
        "TRITON_HTTP_PORT": 8000,
        "TRITON_GRPC_PORT": 8003,
        "TRITON_METRICS_PORT": 8002,
    }
    assert {host for _, host, _ in settings.listeners} == {"127.0.0.1"}
    assert settings.repository == PROJECT_ROOT / "build" / "model_repository"


def test_every_setting_is_described_in_one_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PORT", "")
    monkeypatch.setenv("MODEL_REPOSITORY", "")
    assert load_settings() == Settings()


def test_an_absolute_repository_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_REPOSITORY", "/models")
    assert str(load_settings().repository) == "/models"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PROXY_PORT", "0", "a port from 1 to 65535 (0, for any free port, is not allowed)"),
        ("TRITON_GRPC_PORT", "65536", "a port from 1 to 65535"),
        ("TRITON_HTTP_PORT", "http", "a port from 1 to 65535"),
        ("START_TIMEOUT_SECONDS", "0", "a number above 0"),
        ("START_TIMEOUT_SECONDS", "inf", "a number above 0"),
        ("LOG_LEVEL", "loud", "debug, info, warning, error or critical"),
    ],
)
def test_a_bad_value_is_told_with_its_variable_and_what_is_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name} must be {rule}")
    assert repr(value) in str(caught.value)
    assert caught.value.exit_code == 2


def test_two_settings_with_one_port_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PORT", "8003")
    with pytest.raises(InvalidSettings, match="PROXY_PORT and TRITON_GRPC_PORT are both 8003"):
        load_settings()


def test_log_level_is_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", " DEBUG ")
    assert load_settings().log_level == "debug"
