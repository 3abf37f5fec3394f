"""The demo's receivers: one HTTP server a tenant, which enters what it opens into a book."""

from __future__ import annotations

import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple, Self

from hookseal.cli.demo.ledger import Arrival, Ledger
from hookseal.cli.demo.plan import ReceiverBehaviour, is_failing
from hookseal_receiver import Webhook
from hookseal_receiver.listener import Listener

if TYPE_CHECKING:
    from hookseal.cli.demo.plan import Behaviour
    from hookseal_receiver import Event, VerificationError

__all__ = ["HOST", "Specimen", "TenantSide"]

HOST = "127.0.0.1"
_OK, _SERVICE_UNAVAILABLE = 200, 503


class Specimen(NamedTuple):
    """One request: its body, and what was sealed in it."""

    body: bytes
    plaintext: bytes


class TenantSide:
    """One tenant: its private key, its receiver, its book. An asynchronous context manager.

    Attributes:
        role: Who it plays.
        ledger: What it published and received.
        specimen: The first request that it opened.
    """

    def __init__(self, role: Behaviour, *, seed: int, began_s: float) -> None:
        """Prepare.

        Args:
            role: Who it plays.
            seed: Decides which requests fail, if some shall.
            began_s: Monotonic seconds from which times are counted.
        """
        self.role = role
        self.ledger = Ledger(role.customer_id, may_fail=role.behaviour is ReceiverBehaviour.DOWN)
        self.specimen: Specimen | None = None
        self._seed = seed
        self._began_s = began_s
        self._requests = 0
        self._stack = AsyncExitStack()
        self._receiver = Listener(answer=self._answer, refused=self._refused, host=HOST)

    async def __aenter__(self) -> Self:
        if self.role.behaviour is ReceiverBehaviour.DOWN:
            # Bound, but not listened on: connections are refused, and nobody else takes it.
            reserved = self._stack.enter_context(socket.socket())
            reserved.bind((HOST, 0))
            self.port = int(reserved.getsockname()[1])
        else:
            await self._stack.enter_async_context(self._receiver)
            self.port = self._receiver.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where its events are sent."""
        return f"http://{HOST}:{self.port}/{self.role.customer_id}"

    def can_open(self, private_pem: bytes, secret: str, endpoint_id: str) -> None:
        """Take the private key and what the endpoint's creation returned."""
        self._receiver.webhook = Webhook(
            secrets=[secret], keys=[private_pem], endpoint_id=endpoint_id
        )

    async def _answer(self, event: Event, body: bytes) -> int:
        self._requests += 1
        fails = self.role.behaviour is ReceiverBehaviour.NOW_AND_THEN
        status = _SERVICE_UNAVAILABLE if fails and is_failing(self._requests, self._seed) else _OK
        self.specimen = self.specimen or Specimen(body, event.plaintext)
        self.ledger.arrivals.append(Arrival(event.id, status, time.monotonic() - self._began_s))
        return status

    def _refused(self, error: VerificationError) -> None:
        self.ledger.refused.append(error.reason)
