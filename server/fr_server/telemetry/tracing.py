"""Makes traces for OpenTelemetry: a span for each call, and one for each step in processing its photos.

Imported only if tracing is on; the extra `tracing` installs the packages.
"""

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
from fr_server.errors import STATUS
from fr_server.telemetry.listener import CANCELLED, OK, Ended, Listener

# More time than a working receiver needs for the spans of a few seconds.
_LAST_SPANS_S = 3.0

_STATUS = {OK: "OK", CANCELLED: "CANCELLED", **{error.reason: status.name for error, status in STATUS.items()}}
# By OpenTelemetry's conventions for gRPC, only these make a server's span an error; callers cause the rest.
_SERVER_ERRORS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))


class TracingObserver(Listener):
    """Makes spans of calls and steps; `processor` receives the finished ones, and `close` closes it.

    A call is a child of the span in the caller's `traceparent`. `tracestate` and `baggage` are not read, because they
    may contain anything. OpenTelemetry's environment variables control sampling.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "fr-core", "service.version": __version__})
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fr_server", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def began(self, method: str, request_id: str, traceparent: str) -> Ended:
        parent = self._propagator.extract({"traceparent": traceparent}, context.Context())
        span = self._tracer.start_span(
            method,
            parent,
            trace.SpanKind.SERVER,
            # Names of OpenTelemetry's semantic conventions for RPC, and two of our own.
            {"rpc.system.name": "grpc", "rpc.method": method, "fr.request_id": request_id},
        )
        # Never detached: each call has its own task and thus its own context, which ends with it.
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
        return self._stage(name)

    @contextmanager
    def _stage(self, name: Stage) -> Iterator[None]:
        if not trace.get_current_span().get_span_context().is_valid:
            yield
            return
        # The span does not record exceptions: their messages may contain a caller's data.
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
        """Send the remaining spans, as far as the receiver accepts them, and stop."""
        self._provider.shutdown()


def exporting(endpoint: str) -> SpanProcessor:
    """Return a processor that sends spans in batches, from its own thread, to a receiver of OTLP over gRPC."""
    return _Batches(OTLPSpanExporter(endpoint=endpoint))


class _Batches(BatchSpanProcessor):
    """Gives up early on a receiver that does not answer: the SDK would delay the shutdown by half a minute."""

    def __init__(self, exporter: SpanExporter) -> None:
        super().__init__(exporter)
        self._sending = exporter

    def shutdown(self) -> None:
        giving_up = threading.Timer(_LAST_SPANS_S, self._sending.shutdown)
        giving_up.daemon = True
        giving_up.start()
        super().shutdown()  # type: ignore[no-untyped-call]  # the library has no types there
        giving_up.cancel()
