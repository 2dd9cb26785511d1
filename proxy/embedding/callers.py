"""Which requests a call to the engine is for, as OpenTelemetry's context carries it to the engine's client."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import context, trace

_OTHERS = context.create_key("proxy.other-callers")


def caller() -> trace.SpanContext:
    """The span of the request that is being answered; an invalid one where there is none."""
    return trace.get_current_span().get_span_context()


@contextmanager
def called_for(callers: Sequence[trace.SpanContext]) -> Iterator[None]:
    """Inferences asked for herein belong to the first of these spans that is sampled, and link to the others.

    A span has one parent, and a call may be for many requests; links are OpenTelemetry's way to tell of the rest.
    """
    sampled = list({each.span_id: each for each in callers if each.trace_flags.sampled}.values())
    first = trace.NonRecordingSpan(sampled[0]) if sampled else trace.INVALID_SPAN
    token = context.attach(context.set_value(_OTHERS, sampled[1:], trace.set_span_in_context(first)))
    try:
        yield
    finally:
        context.detach(token)


def other_callers() -> Sequence[trace.SpanContext]:
    """The sampled spans beside the first that the inference at hand is for."""
    others = context.get_value(_OTHERS)
    return others if isinstance(others, list) else ()
