"""Triton's OpenTelemetry trace mode, by OpenTelemetry's standard environment variables."""

import os
from collections.abc import Mapping

from runtime.errors import InvalidSettings

_SERVICE_NAME = "sentence-embedding"
_PROTOCOL = "http/protobuf"


def trace_options(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Triton's options, none where the variables name no receiver.

    The rate of 0 leaves what comes with a `traceparent`, which Triton traces at any rate. It reads the variables for
    headers, time-outs, batches and resource attributes by itself. Raises `InvalidSettings` for a protocol that it does
    not speak.
    """
    endpoint = _endpoint(environment)
    if not endpoint:
        return []
    name = environment.get("OTEL_SERVICE_NAME", "").strip() or _SERVICE_NAME
    return [
        f"--trace-config={setting}"
        for setting in (
            "mode=opentelemetry",
            "level=TIMESTAMPS",
            "rate=0",
            "count=-1",
            f"opentelemetry,url={endpoint}",
            f"opentelemetry,resource=service.name={name}-triton",  # the variable's own name is the proxy's
        )
    ]


def _endpoint(environment: Mapping[str, str]) -> str:
    """The URL that spans are posted to; empty for none."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    if not endpoint and (base := environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()):
        endpoint = f"{base.rstrip('/')}/v1/traces"
    if exporter == "none" or not endpoint:
        return ""
    if exporter != "otlp":
        raise InvalidSettings(f"OTEL_TRACES_EXPORTER must be otlp or none, not {exporter!r}.")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(name, "").strip():
            if protocol != _PROTOCOL:
                raise InvalidSettings(f"{name} must be {_PROTOCOL}, the one that is spoken here, not {protocol!r}.")
            break
    return endpoint
