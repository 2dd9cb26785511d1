"""OpenTelemetry's variables as Triton's options."""

import pytest

from runtime.errors import InvalidSettings
from runtime.settings import load_settings
from runtime.tracing import trace_options


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "True"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_receiver_there_are_none(environment: dict[str, str]) -> None:
    assert trace_options(environment) == []


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/otlp/"}, "http://c/otlp/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://d/as/it/is"},
            "http://d/as/it/is",
        ),
    ],
)
def test_the_receiver_is_where_the_variables_say(environment: dict[str, str], url: str) -> None:
    assert f"--trace-config=opentelemetry,url={url}" in trace_options(environment)


def test_only_what_brings_a_traceparent_is_traced() -> None:
    assert "--trace-config=rate=0" in trace_options({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"})


@pytest.mark.parametrize(("name", "service"), [("", "sentence-embedding-triton"), ("mine", "mine-triton")])
def test_triton_is_a_service_of_its_own(name: str, service: str) -> None:
    options = trace_options({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SERVICE_NAME": name})
    assert f"--trace-config=opentelemetry,resource=service.name={service}" in options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_what_is_not_spoken_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name} must be .*, not '{value}'"):
        trace_options({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", name: value})


def test_it_is_found_out_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidSettings, match="OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"):
        load_settings()
