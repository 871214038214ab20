"""Traces for OpenTelemetry: a span for each call, and one for each step of the work on its photos.

Imported only where tracing is on; the packages are the extra `tracing`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fr_core import __version__
from fr_core.errors import FrError
from fr_core.runtime.observe import Stage
from fr_server.rpc.errors import STATUS
from fr_server.telemetry.listener import CANCELLED, OK, Ended, NullListener

# Longer than a receiver that is there needs for the spans of a few seconds.
_LAST_SPANS_S = 3.0

_STATUS = {OK: "OK", CANCELLED: "CANCELLED", **{error.reason: status.name for error, status in STATUS.items()}}
# Only these make a span of a server an error, by OpenTelemetry's conventions for gRPC: the rest is the caller's doing.
_SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))


class TracingObserver(NullListener):
    """Makes spans of calls and steps.

    A call is a child of the span that the caller names in `traceparent`; its `tracestate` and `baggage`, which may hold
    anything, are not read. Which calls are sampled follows OpenTelemetry's own environment variables.

    Args:
        processor: where finished spans go; closed by `close`.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "fr-core", "service.version": __version__})
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fr_server", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        """As `CallObserver.began`; the span is the current one for the rest of the call's own context."""
        parent = self._propagator.extract({"traceparent": traceparent}, context.Context())
        span = self._tracer.start_span(
            method,
            parent,
            trace.SpanKind.SERVER,
            # Names of OpenTelemetry's semantic conventions for RPC, and two of our own.
            {"rpc.system.name": "grpc", "rpc.method": method, "fr.request_id": request_id},
        )
        # Never detached: each call is worked on in a task, and thus a context, of its own, which ends with it.
        context.attach(trace.set_span_in_context(span, parent))

        def ended(outcome: str, took_s: float) -> None:
            status = _STATUS.get(outcome, "UNKNOWN")
            span.set_attribute("fr.outcome", outcome)
            span.set_attribute("rpc.response.status_code", status)
            if status in _SERVER_ERRORS:
                span.set_attribute("error.type", outcome)
                span.set_status(trace.StatusCode.ERROR)
            span.end()

        return ended

    def stage(self, name: Stage) -> AbstractContextManager[object]:
        """As `Observer.stage`: a child of the call whose context this is; none where there is no call."""
        return self._stage(name)

    @contextmanager
    def _stage(self, name: Stage) -> Iterator[None]:
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        # An exception is not recorded: its message may hold what a caller sent.
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield
            except Exception as error:
                outcome = error.reason if isinstance(error, FrError) else type(error).__name__
                span.set_attribute("fr.outcome", outcome)
                if _STATUS.get(outcome, "UNKNOWN") in _SERVER_ERRORS:
                    span.set_attribute("error.type", outcome)
                    span.set_status(trace.StatusCode.ERROR)
                raise

    def close(self) -> None:
        """Send what is left, as far as the receiver takes it, and stop."""
        self._provider.shutdown()


def exporting(endpoint: str) -> SpanProcessor:
    """Return what sends spans in batches, from a thread of its own, to a receiver of OTLP over gRPC."""
    return _Batches(OTLPSpanExporter(endpoint=endpoint))


class _Batches(BatchSpanProcessor):
    """Gives a receiver that does not answer up soon: the SDK would hold the server's end up for half a minute."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)
        self._sending = exporter

    def shutdown(self) -> None:
        """Send what is left, for `_LAST_SPANS_S` at most."""
        giving_up = threading.Timer(_LAST_SPANS_S, self._sending.shutdown)
        giving_up.daemon = True
        giving_up.start()
        super().shutdown()  # type: ignore[no-untyped-call]  # the library has no types there
        giving_up.cancel()
