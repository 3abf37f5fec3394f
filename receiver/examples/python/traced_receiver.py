"""Receive sealed webhooks with aiohttp, as a part of the sender's traces.

    pip install aiohttp hookseal-receiver opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 \
    SIGNING_SECRETS=whsec_… PRIVATE_KEYS=private.pem python traced_receiver.py

The sender's attempt is the parent of the span made here: `traceparent` comes with the request.
It is not signed, and anybody may send one: it is good for finding things, and for nothing else.
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
    """Do your work. What is raised here makes the sender try again."""
    # The span of the request is the current one: what is traced in here hangs on it.
    trace.get_current_span().set_attribute("messaging.message.id", event.id)
    print(event.id, event.type, event.data, flush=True)


@web.middleware
async def traced(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Make a span of each request."""
    context = extract(dict(request.headers))
    with tracer.start_as_current_span("receive", context, trace.SpanKind.SERVER) as span:
        response = await handler(request)
        span.set_attribute("http.response.status_code", response.status)
        return response


async def send_the_rest(_: web.Application) -> None:
    """Send the spans that wait."""
    provider.shutdown()


app = web.Application(middlewares=[traced])
app.router.add_post("/hooks", sealed_webhooks(webhook, handle, store=seen))
app.on_cleanup.append(send_the_rest)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
