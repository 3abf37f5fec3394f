"""A customer that knows the API and the wire format, and nothing of the provider's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from aiohttp import web

from hookseal.seal.keys import generate_private_key
from hookseal_receiver import Event, Webhook

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.api import Api

__all__ = ["Customer"]


class Customer:
    """Onboards itself over the API, receives at one URL, opens with what it was given."""

    def __init__(self, api: Api, customer_id: str) -> None:
        self.api = api
        self.customer_id = customer_id
        self.path = f"/v1/tenants/{quote(customer_id, safe='')}"
        self.events: list[Event] = []
        self.kids: list[str] = []
        self.status = 200
        self.refused = 0
        self.secrets: list[str] = []
        self.private_keys: list[bytes] = []
        # May be one list for several customers: who got what in which order.
        self.arrived: list[str] = []
        self.traceparents: list[str | None] = []
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hooks", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hooks"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def subscribe(self) -> None:
        """Steps 1 to 3: the provider makes the tenant, and hands over its API key."""
        made = await self.api.do("POST", "/v1/tenants", {"customer_id": self.customer_id})
        self.api_key = made["api_key"]

    async def add_key(self, alg: Any = "x25519") -> str:
        """Steps 4 to 6: make a key pair, register the public one; return its kid."""
        private, public = await asyncio.to_thread(generate_private_key, alg)
        self.private_keys.append(private)
        made = await self.do("POST", "/public-keys", {"public_key": public.decode()})
        kid: str = made["kid"]
        return kid

    async def add_endpoint(self, *event_types: str, **fields: Any) -> str:
        """Steps 7 and 8: choose events, set the URL; return the endpoint's id."""
        body = {"url": self.url, "event_types": list(event_types), **fields}
        made = await self.do("POST", "/endpoints", body)
        self.secrets.append(made["signing_secret"])
        endpoint_id: str = made["id"]
        return endpoint_id

    async def do(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Ask for what must succeed, with the customer's own key."""
        return await self.api.do(method, self.path + path, body, key=self.api_key, **more)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until the condition holds; it is looked at after each event."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    def got(self, event_type: str) -> list[Event]:
        """Return the events of a type that were accepted."""
        return [event for event in self.events if event.type == event_type]

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        webhook = Webhook(secrets=self.secrets, keys=self.private_keys)
        event = webhook.open(request.headers, body)
        assert event.customer_id == self.customer_id
        async with self._changed:
            status = self.status
            if status < 300:
                self.events.append(event)
                self.arrived.append(event.id)
                self.traceparents.append(request.headers.get("traceparent"))
            else:
                self.refused += 1
            self._changed.notify_all()
        return web.Response(status=status)
