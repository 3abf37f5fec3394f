"""OpenTelemetry spans, from the producer's trace context to the receiver's.

Names and attributes follow OpenTelemetry's semantic conventions for messaging and HTTP. They hold
ids, codes and times: no URL, payload or header.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hookseal import __version__
from hookseal.delivery.attempt import traceparent_of
from hookseal.delivery.ports import TRACEPARENT

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

    from hookseal.domain.attempt import Outcome
    from hookseal.domain.event import Event

_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Exports spans by OTLP over HTTP, from its own thread."""

    def __init__(self, endpoint: str, service: str) -> None:
        """Export to a collector such as `http://collector:4318`.

        OpenTelemetry's own variables set everything else: `OTEL_TRACES_SAMPLER`,
        `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_*`.
        """
        resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hookseal", __version__)

    def close(self) -> None:
        """Send the buffered spans and stop; blocks for a few seconds at most."""
        self._provider.shutdown()

    def delivery(self, event: Event, customer_id: str, endpoint_id: str) -> DeliveryTrace:
        """Start the span of a delivery, a child of the producer's span."""
        parent = _context_of(traceparent_of(event))
        now = time.time_ns()
        published = event.record.timestamp_ms * 1_000_000
        attributes: dict[str, str | int] = {
            "messaging.message.id": event.id,
            "messaging.destination.name": event.record.topic,
            "messaging.destination.partition.id": str(event.record.partition),
            "messaging.kafka.offset": event.record.offset,
        }
        span = self._tracer.start_span(
            "hookseal.deliver",
            parent,
            SpanKind.CONSUMER,
            {
                **attributes,
                "hookseal.customer_id": customer_id,
                "hookseal.endpoint_id": endpoint_id,
                "hookseal.event_type": event.type,
            },
            start_time=now,
        )
        if 0 < published < now:
            # A sibling of the delivery, or its child if the producer started no trace.
            context = set_span_in_context(span) if parent is None else parent
            wait = self._tracer.start_span(
                "hookseal.wait", context, SpanKind.INTERNAL, attributes, start_time=published
            )
            wait.end(now)
        return DeliveryTrace(self._tracer, span)

    def published(self, traceparent: str | None, events: int) -> str | None:
        """Record that the API accepted events; return the trace context for their headers."""
        span = self._tracer.start_span(
            "hookseal.publish",
            _context_of(traceparent),
            SpanKind.PRODUCER,
            {"messaging.batch.message_count": events},
        )
        span.end()
        return _traceparent(span)


class DeliveryTrace:
    """The span of one delivery."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)

    def attempt(self, number: int) -> AttemptTrace:
        """Start the span of attempt `number`, counted from 1."""
        span = self._tracer.start_span(
            "hookseal.attempt",
            self._context,
            SpanKind.CLIENT,
            {"http.request.method": "POST", "hookseal.attempt": number},
        )
        return AttemptTrace(self._tracer, span)

    def ended(self, outcome: Outcome | None) -> None:
        """End the span; None = the delivery was cut off, and the next owner starts it again."""
        if outcome is None:
            self._span.set_attribute("hookseal.outcome", "cut_off")
        else:
            self._span.set_attribute("hookseal.outcome", outcome.code)
            self._span.set_attribute("hookseal.attempts", outcome.attempts)
            if not outcome.accepted:
                self._span.set_status(Status(StatusCode.ERROR, outcome.code))
        self._span.end()


class AttemptTrace:
    """The span of one attempt."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str | None:
        """The trace context for the request; None = no context."""
        return _traceparent(self._span)

    def sealed(self, seconds: float) -> None:
        """Record that the request was encrypted and signed just now, in this time."""
        now = time.time_ns()
        span = self._tracer.start_span(
            "hookseal.seal",
            set_span_in_context(self._span),
            start_time=now - round(seconds * 1e9),
        )
        span.end(now)

    def ended(self, code: str, status: int | None) -> None:
        """End the span."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if code != "accepted":
            self._span.set_attribute("error.type", code)
            self._span.set_status(Status(StatusCode.ERROR, code))
        self._span.end()


def _context_of(traceparent: str | None) -> Context | None:
    if traceparent is None:
        return None
    context = _propagator.extract({TRACEPARENT: traceparent})
    # A malformed context counts as none: the event starts a new trace.
    return context if get_current_span(context).get_span_context().is_valid else None


def _traceparent(span: Span) -> str | None:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span))
    return carrier.get(TRACEPARENT)
