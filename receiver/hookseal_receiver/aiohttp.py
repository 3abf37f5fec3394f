"""For aiohttp: `app.router.add_post("/hooks", sealed_webhooks(webhook, handle))`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from hookseal_receiver.handling import TOO_LARGE, answer_async
from hookseal_receiver.repeats import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal_receiver.handling import AsyncHandler
    from hookseal_receiver.repeats import Store
    from hookseal_receiver.webhook import Webhook


def sealed_webhooks(
    webhook: Webhook, handler: AsyncHandler, *, store: Store | None = None
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a request handler that passes each event to `handler` and then answers 204.

    Without a store, repeats are recognized in this process only.
    """
    seen = MemoryStore() if store is None else store

    async def receive(request: web.Request) -> web.Response:
        body = await read_body(request, webhook.max_body_bytes)
        if body is None:
            found = TOO_LARGE
        else:
            found = await answer_async(webhook, handler, seen, request.headers, body)
        return web.Response(status=found.status, headers=dict(found.headers))

    return receive


async def read_body(request: web.Request, max_bytes: int) -> bytes | None:
    """Return the body, or None above the limit; ignores the application's own limit."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)
