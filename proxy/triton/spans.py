"""The span of an inference, which Triton's own spans join."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from yarl import URL

from proxy.embedding.callers import caller, other_callers


@contextmanager
def inference_span(tracer: trace.Tracer | None, url: URL, texts: int) -> Iterator[dict[str, str]]:
    """A span around one POST of so many texts to `url`; yields the headers by which Triton's own spans join it.

    None without a sampled parent: Triton traces whatever comes with a `traceparent`.
    """
    if tracer is None or not caller().trace_flags.sampled:
        yield {}
        return
    attributes: dict[str, str | int] = {
        "http.request.method": "POST",
        "url.full": str(url),
        "server.address": url.host or "",
        "server.port": url.port or 0,
        "embedding.texts": texts,
    }
    with tracer.start_as_current_span(
        f"POST {url.path}",
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        links=[trace.Link(other) for other in other_callers()],
        record_exception=False,  # its message may quote a text
        set_status_on_exception=False,
    ) as span:
        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        try:
            yield headers
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise
