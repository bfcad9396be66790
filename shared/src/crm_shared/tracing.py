"""Traces: the traceparent that every hop carries on, and OpenTelemetry spans when somebody collects them."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from importlib import import_module
from random import randbytes
from typing import NamedTuple

from opentelemetry import trace as otel
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

from crm_shared.scoped import Scoped
from crm_shared.settings import ServiceSettings

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """Where we are: the trace that all hops share, and the span of this one."""

    trace_id: str
    span_id: str
    flags: str = "01"

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self) -> "Trace":
        return Trace(self.trace_id, randbytes(8).hex(), self.flags)


_current: ContextVar[Trace | None] = ContextVar("crm_trace", default=None)


def parse(traceparent: str | None) -> Trace | None:
    """The trace that a traceparent names; None when it is none, as W3C wants it ignored then."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Trace(trace_id, span_id, flags)


def new() -> Trace:
    return Trace(randbytes(16).hex(), randbytes(8).hex())


def here() -> Trace | None:
    """The trace of what runs now."""
    return _current.get()


def current() -> str | None:
    """The traceparent to hand on: to an event, to another service."""
    trace = _current.get()
    return trace.traceparent if trace else None


class Tracer:
    """Begins spans. Without an endpoint it only carries the ids on, which costs next to nothing.

    Spans are exported from a thread of their own, out of a bounded queue: a collector that is slow or gone
    loses spans and slows nothing.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._close: Callable[[], None] | None = None
        self._tracer: otel.Tracer | None = None
        if settings.otlp_endpoint:
            # Loaded only where it is used: the exporter is a fifth of what a process loads.
            self._tracer, self._close = import_module("crm_shared.spans").exported(settings)

    def continued(
        self, traceparent: str | None, name: str, kind: SpanKind, links: Sequence[str | None] = ()
    ) -> AbstractContextManager[Span | None]:
        """A span within the trace that came in, or of a new one; gives the span if there is one to fill."""
        parent = parse(traceparent)
        if self._tracer is None:
            return Scoped(_current, parent.child() if parent else new())
        return _recorded(self._tracer, parent, name, kind, links)

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        if self._close is not None:
            self._close()


@contextmanager
def _recorded(
    tracer: otel.Tracer, parent: Trace | None, name: str, kind: SpanKind, links: Sequence[str | None]
) -> Iterator[Span]:
    context = otel.set_span_in_context(NonRecordingSpan(_span_context(parent))) if parent else None
    linked = [Link(_span_context(trace)) for trace in map(parse, links) if trace is not None]
    with tracer.start_as_current_span(
        # An exception's message may quote what is personal; the log tells of it in our own words.
        name,
        context=context,
        kind=kind,
        links=linked,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        ids = span.get_span_context()
        here = Trace(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", f"{ids.trace_flags:02x}")
        with Scoped(_current, here):
            yield span


def _span_context(trace: Trace) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace.flags, 16)),
    )
