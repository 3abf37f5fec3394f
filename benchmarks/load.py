"""What there is to do: tenants, their keys, their events."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.sample import event_value
from benchmarks.scenario import CUSTOMERS, EVENT_BYTES, PARTITIONS
from hookseal.domain.command import AddEndpoint, AddPublicKey, CreateTenant
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import PublicKey, Tenant
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.seal.keys import generate_private_key, parse_public_key
from hookseal.tenants.commands import KafkaCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.deployment import Deployment
    from hookseal.domain.command import Command
    from hookseal.seal.keys import KeyKind

# That make one tenant with a key and an endpoint.
COMMANDS_EACH = 3
_IN_FLIGHT = 500


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant with a key."""

    customer_id: str  # Its id
    partition: int  # Where its events stand
    key: PublicKey = field(repr=False)  # What they are sealed to

    def tenant(self, url: str) -> Tenant:
        """Return the tenant, with one endpoint at this URL."""
        key = self.key
        return Tenant(
            self.customer_id,
            revision=1,
            public_keys=(key,),
            endpoints=(Endpoint("ep_1", url, ("order.*",)),),
        )


def make_customers(
    kind: KeyKind = "rsa-2048", *, keys: int = CUSTOMERS, tenants: int = CUSTOMERS
) -> list[Customer]:
    """Make tenants, as many for each partition as may be, one partition after the other.

    Args:
        kind: Of their keys.
        keys: How many are made; with fewer than tenants, tenants share them. One of RSA-4096
            takes a second to make, and sealing to it costs the same whoever has it.
    """
    ids: dict[int, deque[str]] = {partition: deque() for partition in range(PARTITIONS)}
    numbers = count()
    made = cycle([parse_public_key(generate_private_key(kind)[1]) for _ in range(keys)])
    found = []
    for place in range(tenants):
        partition = place % PARTITIONS
        while not ids[partition]:
            customer_id = f"customer-{next(numbers)}"
            ids[partition_of(customer_id, PARTITIONS)].append(customer_id)
        found.append(Customer(ids[partition].popleft(), partition, next(made)))
    return found


async def write_tenants(deployment: Deployment, tenants: Iterable[Tenant]) -> None:
    """Write the documents of tenants, as a worker does on commands for each."""
    async with Producer(deployment.cluster) as producer:
        topic, document = deployment.names.tenants_changelog, deployment.codec.document
        await asyncio.gather(
            *(
                producer.publish(topic, key=one.customer_id.encode(), value=document(one))
                for one in tenants
            )
        )


async def register(
    deployment: Deployment, customers: list[Customer], url: Callable[[str], str]
) -> None:
    """Write the commands that make the tenants, each with a key and an endpoint."""
    async with Producer(deployment.cluster) as producer:
        commands = KafkaCommands(producer, deployment.names, deployment.codec)
        for customer in customers:
            for command in _commands(customer, url(customer.customer_id)):
                await commands.submit(command)


async def publish(
    deployment: Deployment, customers: list[Customer], events: int, *, size_bytes: int = EVENT_BYTES
) -> None:
    """Publish events, the same number for each customer, as nearly as may be."""
    async with Producer(deployment.cluster) as producer:
        for first in range(0, events, _IN_FLIGHT):
            await asyncio.gather(
                *(
                    producer.publish(
                        deployment.names.events,
                        key=customer.customer_id.encode(),
                        value=event_value(number, size_bytes),
                        partition=customer.partition,
                    )
                    for number in range(first, min(events, first + _IN_FLIGHT))
                    for customer in (customers[number % len(customers)],)
                )
            )


def _commands(customer: Customer, url: str) -> Iterator[Command]:
    customer_id, key = customer.customer_id, customer.key
    yield CreateTenant(customer_id=customer_id, id=uuid4().hex, at=0.0)
    yield AddPublicKey(
        customer_id=customer_id, id=uuid4().hex, at=0.0, kid=key.kid, alg=key.alg, jwk=key.jwk
    )
    yield AddEndpoint(
        customer_id=customer_id,
        id=uuid4().hex,
        at=0.0,
        endpoint_id="ep_1",
        url=url,
        event_types=("order.*",),
    )
