"""Traces by OpenTelemetry, in its own API: on where its standard variables name a receiver, off where none does.

FastAPI makes the span of each request and reads the client's `traceparent`; `proxy/triton/spans.py` makes the span of
each inference. Here is where they go, and what no span may hold. The SDK is imported only where traces are on.
"""

import asyncio
import os
import threading
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import context

from proxy.contract import PROBES
from proxy.settings import InvalidSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_SERVICE_NAME = "sentence-embedding"
_PROTOCOL = "http/protobuf"

# Spans that are not sent by then, when the process stops, are lost: a receiver that hangs must not hold it up.
_CLOSE_SECONDS = 0.5

# FastAPI's own defaults would send every exception's message, and so perhaps a text, as a log; and metrics.
OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def traces_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the variables name a receiver. Raises `InvalidSettings` for a protocol that is not spoken here."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none" or not any(
        environment.get(name) for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    ):
        return False
    if exporter != "otlp":
        raise InvalidSettings(f"OTEL_TRACES_EXPORTER is {exporter!r}: it should be otlp or none.")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := environment.get(name, "").strip():
            if protocol != _PROTOCOL:
                raise InvalidSettings(f"{name} is {protocol!r}: it should be {_PROTOCOL}, the one that is spoken here.")
            break
    return True


class Tracing:
    """The traces of this process, which `provider` makes and sends."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("proxy")

    def telemetry(self) -> TelemetryConfig:
        """For FastAPI: a span for each request but probes, named by its route."""
        return {
            **OFF,
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
            "exclude": _is_probe,
        }

    async def close(self) -> None:
        """Sends what is left, and gives that up after half a second."""
        # A daemon, so that the interpreter does not wait for it either.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, _CLOSE_SECONDS)


def start_tracing() -> Tracing:
    """Spans that the SDK batches and sends in a thread of its own, as the variables say.

    A receiver that is away costs spans, and no request: they wait in a queue of bounded size.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create()  # with OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE_NAME}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    hide_queries(provider)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def hide_queries(provider: "TracerProvider") -> None:
    """Empties the query strings of requests: no route takes one, so one may hold a text by mistake."""
    from opentelemetry.sdk.trace import Span, SpanProcessor

    class HideQuery(SpanProcessor):
        def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:  # noqa: ARG002
            if span.attributes and "url.query" in span.attributes:
                span.set_attribute("url.query", "REDACTED")

    provider.add_span_processor(HideQuery())


def _is_probe(scope: MutableMapping[str, Any]) -> bool:
    """One that brings a `traceparent` is traced all the same: somebody wants to see it."""
    return scope["path"] in PROBES and not any(name == b"traceparent" for name, _ in scope["headers"])
