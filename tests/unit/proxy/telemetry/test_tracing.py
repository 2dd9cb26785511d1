"""Spans of requests and of inferences, without a receiver: their names, whose they are, what they never hold."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from proxy.app import create_app
from proxy.settings import InvalidSettings, Settings
from proxy.telemetry.tracing import Tracing, hide_queries, traces_wanted
from tests.fakes.fake_embedder import FakeEmbedder
from tests.fakes.fake_triton import FakeTriton, refuse_with

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            True,
        ),
    ],
)
def test_traces_are_on_where_a_receiver_is_named(environment: dict[str, str], wanted: bool) -> None:
    assert traces_wanted(environment) is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_what_is_not_spoken_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name} is '{value}': it should be"):
        traces_wanted(ENDPOINT | {name: value})


def test_without_a_receiver_the_sdk_is_not_even_imported() -> None:
    program = (
        "import sys, proxy.__main__; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class Traced:
    """A proxy whose spans stay in memory."""

    def __init__(self, triton: FakeTriton) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        hide_queries(provider)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        settings = Settings(triton_url=triton.url)
        self.app = create_app(settings, beat_seconds=1000, tracing=Tracing(provider))

    async def post(self, path: str, headers: dict[str, str], **body: object) -> int:
        async with self.client() as client:
            return (await client.post(path, json=body, headers=headers)).status_code

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://proxy")

    def spans(self, kind: SpanKind) -> Sequence[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.kind == kind]


async def test_an_inference_is_a_child_of_its_request(triton: FakeTriton) -> None:
    traced = Traced(triton)
    async with traced.app.router.lifespan_context(traced.app):
        assert await traced.post("/api/v1/embed?q=secret", SAMPLED, text="secret") == 200
    (request,), (call,) = traced.spans(SpanKind.SERVER), traced.spans(SpanKind.CLIENT)
    assert request.name == "POST /api/v1/embed"
    assert request.parent is not None
    assert call.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, PARENT)
    assert (call.context.trace_id, call.parent.span_id) == (request.context.trace_id, request.context.span_id)
    assert triton.traceparents == [f"00-{TRACE}-{call.context.span_id:016x}-01"]
    assert not any("secret" in span.to_json() for span in (request, call))


async def test_requests_that_share_a_call_are_linked_to_it(triton: FakeTriton) -> None:
    traced = Traced(triton)
    async with traced.app.router.lifespan_context(traced.app):
        await asyncio.gather(*(traced.post("/api/v1/embed", SAMPLED, text=f"text {number}") for number in range(6)))
    requests = {span.context.span_id for span in traced.spans(SpanKind.SERVER)}
    calls = traced.spans(SpanKind.CLIENT)
    assert len(calls) == 2, "the first alone, the others together"
    shared = calls[1]
    assert shared.parent is not None
    linked = {link.context.span_id for link in shared.links}
    first = calls[0].parent
    assert first is not None
    assert {first.span_id, shared.parent.span_id} | linked == requests
    assert len(linked) == 4
    assert shared.attributes is not None
    assert shared.attributes["embedding.texts"] == 5


async def test_without_a_sampled_caller_triton_gets_no_traceparent(triton: FakeTriton) -> None:
    traced = Traced(triton)
    async with traced.app.router.lifespan_context(traced.app):
        assert await traced.post("/api/v1/embed", {"traceparent": f"00-{TRACE}-{PARENT}-00"}, text="a") == 200
    assert triton.traceparents == []
    assert traced.exporter.get_finished_spans() == ()


async def test_probes_are_traced_only_when_they_ask_for_it(triton: FakeTriton) -> None:
    traced = Traced(triton)
    async with traced.app.router.lifespan_context(traced.app), traced.client() as client:
        await client.get("/health/live")
        assert traced.spans(SpanKind.SERVER) == []
        await client.get("/health/live", headers=SAMPLED)
    assert [span.name for span in traced.spans(SpanKind.SERVER)] == ["GET /health/live"]


async def test_a_failure_is_marked_without_its_message(triton: FakeTriton) -> None:
    triton.infer_with = refuse_with(500, "secret")
    traced = Traced(triton)
    async with traced.app.router.lifespan_context(traced.app):
        assert await traced.post("/api/v1/embed", SAMPLED, text="secret") == 500
    for span in traced.exporter.get_finished_spans():
        assert span.status.status_code == trace.StatusCode.ERROR
        assert "secret" not in span.to_json()
    (call,) = traced.spans(SpanKind.CLIENT)
    assert call.attributes is not None
    assert call.attributes["error.type"] == "EngineFailed"


@pytest.fixture
def hanging() -> Iterator[TracerProvider]:
    """Its `shutdown` returns when the test is over."""
    over = threading.Event()

    class Hanging(SpanProcessor):
        def shutdown(self) -> None:
            over.wait(30)

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Hanging())
    yield provider
    over.set()


async def test_a_receiver_that_hangs_does_not_hold_up_the_stop(hanging: TracerProvider) -> None:
    app = create_app(Settings(), FakeEmbedder(), tracing=Tracing(hanging))
    lifespan = app.router.lifespan_context(app)
    await lifespan.__aenter__()
    await asyncio.wait_for(lifespan.__aexit__(None, None, None), 20)
