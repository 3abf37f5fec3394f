"""Receive sealed webhooks with aiohttp, as part of the sender's traces.

    pip install aiohttp hookseal-receiver opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 \
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python traced_receiver.py

The sender's attempt is the parent span: the request has a `traceparent` header. It is not signed,
so use it for tracing only.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from hookseal_receiver import Event, SQLiteStore, Webhook
from hookseal_receiver.aiohttp import sealed_webhooks

provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "receiver"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("receiver")

webhook = Webhook(
    secrets=os.environ["SIGNING_SECRETS"].split(),
    keys=[Path(name).read_bytes() for name in os.environ["PRIVATE_KEYS"].split()],
)
seen = SQLiteStore(os.environ.get("SEEN", "seen.db"))


async def handle(event: Event) -> None:
    """Do your work. If this raises, the sender retries."""
    # The current span is that of the request.
    trace.get_current_span().set_attribute("messaging.message.id", event.id)
    print(event.id, event.type, event.data, flush=True)


@web.middleware
async def traced(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Trace each request."""
    context = extract(dict(request.headers))
    with tracer.start_as_current_span("receive", context, trace.SpanKind.SERVER) as span:
        response = await handler(request)
        span.set_attribute("http.response.status_code", response.status)
        return response


async def flush_spans(_: web.Application) -> None:
    """Send the buffered spans."""
    provider.shutdown()


app = web.Application(middlewares=[traced])
app.router.add_post("/hooks", sealed_webhooks(webhook, handle, store=seen))
app.on_cleanup.append(flush_spans)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
