"""One trace from a client's `traceparent` through the proxy into Triton, as an OTLP receiver gets it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import Service, running_service
from tests.otlp_receiver import ReceivedSpan, Receiver, running_receiver
from tests.waiting import wait_until

CLIENT_SPAN = "00f067aa0ba902b7"
TEXT = "a text that no span may hold"
SERVER, CLIENT = 2, 3  # of the protocol's SpanKind
STEPS = {"tokenizer", "encoder", "pooling"}
ABOVE = ["sentence_embedding", "InferRequest", "POST /v2/models/sentence_embedding/infer", "POST /api/v1/embed"]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def service(small_build: Path, small_stand_in: Path, receiver: Receiver) -> Iterator[Service]:
    with running_service(
        small_build,
        MODEL=str(small_stand_in),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-key=collectors-key",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        OTEL_BSP_SCHEDULE_DELAY="100",
    ) as running:
        yield running


def embed(service: Service, trace_id: str, flags: str = "01", text: str = TEXT) -> None:
    answer = httpx.post(
        f"{service.proxy}/api/v1/embed?q={TEXT}",
        json={"text": text},
        headers={"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-{flags}"},
    )
    assert answer.status_code == 200


def wait_for_all(receiver: Receiver, trace_id: str) -> None:
    wait_until(lambda: {span.name for span in receiver.of_trace(trace_id)} >= STEPS.union(ABOVE))


def path_to_the_client(span: ReceivedSpan, spans: list[ReceivedSpan]) -> list[str]:
    by_id = {each.span_id: each for each in spans}
    names = [span.name]
    while span.parent_id != CLIENT_SPAN:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


def test_proxy_and_every_step_of_triton_are_in_the_clients_trace(service: Service, receiver: Receiver) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    embed(service, trace_id)
    wait_for_all(receiver, trace_id)
    spans = receiver.of_trace(trace_id)
    named = {span.name: span for span in spans}
    for step in STEPS:
        assert path_to_the_client(named[step], spans) == [step, *ABOVE]
        assert named[step].service == "sentence-embedding-triton"
    request, call = named["POST /api/v1/embed"], named["POST /v2/models/sentence_embedding/infer"]
    assert (request.kind, request.service, request.attributes["http.response.status_code"]) == (
        SERVER,
        "sentence-embedding",
        200,
    )
    assert (call.kind, call.service, call.attributes["embedding.texts"]) == (CLIENT, "sentence-embedding", 1)
    assert not any(b"no span may hold" in body for body in receiver.bodies)


def test_what_the_client_does_not_sample_is_in_no_trace(service: Service, receiver: Receiver) -> None:
    unsampled, after = "1" * 32, "2" * 32
    embed(service, unsampled, flags="00", text="not sampled")
    embed(service, after, text="sampled")
    wait_for_all(receiver, after)
    assert receiver.of_trace(unsampled) == []


def test_both_send_what_the_variables_say(service: Service, receiver: Receiver) -> None:
    trace_id = "4" * 32
    embed(service, trace_id, text="with a key")
    wait_for_all(receiver, trace_id)
    told = {(span.service, span.key, span.environment) for span in receiver.of_trace(trace_id)}
    assert told == {(f"sentence-embedding{end}", "collectors-key", "test") for end in ("", "-triton")}


def test_probes_are_no_traces(service: Service, receiver: Receiver) -> None:
    trace_id = "3" * 32
    assert httpx.get(f"{service.proxy}/health").status_code == 200
    embed(service, trace_id, text="after the probe")
    wait_for_all(receiver, trace_id)
    assert not any("health" in span.name or "health" in str(span.attributes) for span in receiver.spans)


def test_a_receiver_that_hangs_costs_no_request_and_no_stop(small_build: Path, small_stand_in: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_service(
            small_build,
            MODEL=str(small_stand_in),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_BSP_SCHEDULE_DELAY="10",
        ) as service,
    ):
        for number in range(20):
            embed(service, f"{number + 1:032x}", text=f"text {number}")
        assert service.stop() == 0
