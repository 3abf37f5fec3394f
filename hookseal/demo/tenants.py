"""The demo's tenants: each has a key, an endpoint and an HTTP server that fills its ledger."""

from __future__ import annotations

import json
import socket
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from hookseal.api.client import tenant_path
from hookseal.demo.ledger import Arrival, Ledger
from hookseal.demo.plan import PARTITIONS, ReceiverBehaviour, is_failing
from hookseal.kafka.partitioner import partition_of
from hookseal_receiver import Webhook
from hookseal_receiver.listener import Listener

if TYPE_CHECKING:
    from hookseal.api.client import ApiClient
    from hookseal.demo.plan import Behaviour
    from hookseal_receiver import Event, VerificationError

_HOST = "127.0.0.1"
_OK, _SERVICE_UNAVAILABLE = 200, 503


class DemoTenant:
    """One tenant with its receiver; an asynchronous context manager.

    Attributes:
        request: The first request that the receiver decrypted.
    """

    def __init__(self, behaviour: Behaviour, *, seed: int, began_s: float) -> None:
        """The seed decides which requests a flaky receiver fails.

        `began_s` is the start of the demo in monotonic seconds.
        """
        self.behaviour = behaviour
        self.customer_id = behaviour.customer_id
        self.is_down = behaviour.receiver is ReceiverBehaviour.DOWN
        self.ledger = Ledger(self.customer_id, may_fail=self.is_down)
        self.request: dict[str, Any] | None = None
        self._seed = seed
        self._began_s = began_s
        self._requests = 0
        self._stack = AsyncExitStack()
        self._receiver = Listener(answer=self._answer, refused=self._refused, host=_HOST)

    async def __aenter__(self) -> Self:
        if self.is_down:
            # Bound without listen(): connections are refused, and no other process gets the port.
            reserved = self._stack.enter_context(socket.socket())
            reserved.bind((_HOST, 0))
            self.port = int(reserved.getsockname()[1])
        else:
            await self._stack.enter_async_context(self._receiver)
            self.port = self._receiver.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def register(self, api: ApiClient, private_pem: bytes, public_pem: bytes) -> None:
        """Create the tenant, its public key and its endpoint over the API."""
        name, path = self.customer_id, tenant_path(self.customer_id)
        await api.ask("POST", "/v1/tenants", {"customer_id": name, "name": name.title()})
        await api.ask("POST", f"{path}/public-keys", {"public_key": public_pem.decode()})
        endpoint = {
            "id": f"ep_{name}",
            "url": f"http://{_HOST}:{self.port}/{name}",
            "event_types": ["order.*"],
        }
        created = await api.ask("POST", f"{path}/endpoints", endpoint)
        self._receiver.webhook = Webhook(
            secrets=[created["signing_secret"]], keys=[private_pem], endpoint_id=created["id"]
        )

    @property
    def first_letter(self) -> dict[str, Any]:
        """The tenant's first dead letter."""
        letter = self.ledger.letters[0]
        return {"id": letter.id, "headers": letter.headers, "value": letter.value.decode()}

    def figures(self) -> dict[str, Any]:
        """Return the tenant's row of the result."""
        ledger = self.ledger
        accepted = [arrival.at_s for arrival in ledger.arrivals if arrival.is_accepted]
        return {
            "partition": partition_of(self.customer_id, PARTITIONS),
            "customer_id": self.customer_id,
            "key": self.behaviour.alg,
            "receiver": self.behaviour.receiver.value,
            "published": len(ledger.published),
            "accepted": len(ledger.accepted),
            "dead_lettered": len(ledger.letters),
            "retried": ledger.retries,
            "repeated": ledger.repeats,
            "last_accepted_s": round(max(accepted), 1) if accepted else None,
        }

    async def _answer(self, event: Event, body: bytes) -> int:
        self._requests += 1
        is_flaky = self.behaviour.receiver is ReceiverBehaviour.FLAKY
        fails = is_flaky and is_failing(self._requests, self._seed)
        status = _SERVICE_UNAVAILABLE if fails else _OK
        self.request = self.request or {
            "customer_id": self.customer_id,
            "key": self.behaviour.alg,
            "body": json.loads(body),
            "opened": event.plaintext.decode(),
        }
        self.ledger.arrivals.append(Arrival(event.id, status, time.monotonic() - self._began_s))
        return status

    def _refused(self, error: VerificationError) -> None:
        self.ledger.refused.append(error.reason)
