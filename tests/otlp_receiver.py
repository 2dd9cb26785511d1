"""A receiver of traces over OTLP/HTTP, which keeps every span that it is sent."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """A span and whose it is; ids in hexadecimal."""

    service: str
    environment: str  # of the resource, deployment.environment.name
    key: str  # the header X-Key that it was sent with
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]  # ids of spans
    attributes: dict[str, Any]


class Receiver:
    """What came, in order. `url` is the base that OTEL_EXPORTER_OTLP_ENDPOINT takes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[ReceivedSpan] = []
        self.bodies: list[bytes] = []

    def take(self, body: bytes, content_type: str, key: str) -> None:
        """Raises an error for what is not OTLP, in either of its encodings."""
        self.bodies.append(body)
        for resource in _parse(body, content_type).resource_spans:
            told = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        ReceivedSpan(
                            told["service.name"],
                            told.get("deployment.environment.name", ""),
                            key,
                            span.name,
                            span.kind,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            tuple(link.span_id.hex() for link in span.links),
                            _attributes(span.attributes),
                        )
                    )

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Its spans so far."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]


def _parse(body: bytes, content_type: str) -> Any:
    if content_type != "application/json":
        return ExportTraceServiceRequest.FromString(body)
    # OTLP's JSON has ids in hexadecimal, where that of protobuf has bytes in base64.
    return ParseDict(json.loads(body, object_hook=_with_base64_ids), ExportTraceServiceRequest())


def _with_base64_ids(fields: dict[str, Any]) -> dict[str, Any]:
    ids = {name: value for name, value in fields.items() if name in ("traceId", "spanId", "parentSpanId")}
    return fields | {name: base64.b64encode(bytes.fromhex(value)).decode() for name, value in ids.items()}


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Listens on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                receiver.take(body, self.headers["Content-Type"], self.headers.get("X-Key", ""))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()
