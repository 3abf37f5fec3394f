"""A tenant's side: a real HTTP server with unmodified libraries, that keeps books."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from joserfc import jwe
from joserfc.jwk import OKPKey
from standardwebhooks.webhooks import Webhook

from hookseal.seal.sign import SigningSecrets
from tests.builders import MASTER_KEY, private_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Arrival", "Receiver"]

ALGORITHMS = ["ECDH-ES", "RSA-OAEP-256", "A256GCM"]


@dataclass(frozen=True)
class Arrival:
    """One verified and opened request."""

    endpoint_id: str
    event_id: str
    event: dict[str, Any]
    answered: int


@dataclass
class Receiver:
    """Serves every endpoint of a test under `/<customer>/<endpoint>`."""

    arrivals: list[Arrival] = field(default_factory=list)
    answer: Callable[[str, str], Awaitable[int]] | None = None
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._secrets = SigningSecrets(MASTER_KEY)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before if it listened before."""
        app = web.Application()
        app.router.add_post("/{customer}/{endpoint}", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Refuse connections, and close those that are open."""
        await self._runner.cleanup()

    def url(self, customer_id: str, endpoint_id: str = "ep_1", *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{customer_id}/{endpoint_id}"

    def accepted(self, customer_id: str | None = None) -> list[str]:
        """Return the ids of accepted events in the order of their arrival, repeats too."""
        return [
            arrival.event_id
            for arrival in self.arrivals
            if arrival.answered < 300 and customer_id in (None, arrival.event["customer_id"])
        ]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until the condition holds; it is looked at after each arrival."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _receive(self, request: web.Request) -> web.Response:
        customer, endpoint = request.match_info["customer"], request.match_info["endpoint"]
        body = await request.read()
        secret = self._secrets.derive(customer, endpoint, 1)
        sealed = Webhook(base64.b64encode(secret).decode()).verify(body, dict(request.headers))
        event = _open(sealed)
        assert event["id"] == request.headers["webhook-id"]
        assert (event["customer_id"], event["endpoint_id"]) == (customer, endpoint)
        status = 200 if self.answer is None else await self.answer(customer, event["id"])
        async with self._changed:
            self.arrivals.append(Arrival(endpoint, event["id"], event, status))
            self._changed.notify_all()
        return web.Response(status=status)


def _open(sealed: Any) -> dict[str, Any]:
    raw = private_key().private_bytes_raw()
    public = private_key().public_key().public_bytes_raw()
    key = OKPKey.import_key({"kty": "OKP", "crv": "X25519", "d": _b64(raw), "x": _b64(public)})
    opened: dict[str, Any] = json.loads(
        jwe.decrypt_json(sealed, key, algorithms=ALGORITHMS).plaintext or b""
    )
    return opened


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
