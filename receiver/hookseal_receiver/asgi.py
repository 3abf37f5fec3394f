"""For ASGI: Starlette, FastAPI and other frameworks; imports none of them.

In Starlette and FastAPI, use it as the endpoint of a route:
`app.router.routes.append(Route("/hooks", SealedWebhooks(webhook, handle), methods=["POST"]))`.
Do not use `app.mount`: it redirects `/hooks` to `/hooks/`, and the sender follows no redirects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from hookseal_receiver.handling import TOO_LARGE, Answer, answer_async
from hookseal_receiver.repeats import MemoryStore

if TYPE_CHECKING:
    from hookseal_receiver.handling import AsyncHandler
    from hookseal_receiver.repeats import Store
    from hookseal_receiver.webhook import Webhook

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class SealedWebhooks:
    """An ASGI application that passes each event to a handler and then answers 204.

    Without a store, repeats are recognized in this process only.
    """

    def __init__(
        self, webhook: Webhook, handler: AsyncHandler, *, store: Store | None = None
    ) -> None:
        self._webhook = webhook
        self._handler = handler
        self._store = MemoryStore() if store is None else store

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise TypeError(f"unsupported ASGI scope: {scope['type']}")
        found = await self._answer(scope, receive)
        headers = [(name.lower().encode(), value.encode()) for name, value in found.headers]
        if found.status != 204:  # noqa: PLR2004 - no length (RFC 9110 section 8.6)
            headers.append((b"content-length", b"0"))
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body"})

    async def _answer(self, scope: _Message, receive: _Receive) -> Answer:
        if scope["method"] != "POST":
            return Answer(405, (("Allow", "POST"),))
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            # `http.disconnect` has neither: the partial body does not verify.
            more = message.get("more_body", False)
            if len(body) > self._webhook.max_body_bytes:
                return TOO_LARGE
        return await answer_async(
            self._webhook, self._handler, self._store, scope["headers"], bytes(body)
        )
