"""What there is to do: tenants, their keys, their events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson

from hookseal.bench.scenario import CUSTOMERS, EVENT_BYTES, PARTITIONS
from hookseal.domain.command import AddEndpoint, AddPublicKey, CreateTenant
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.ports import KafkaCommands
from hookseal.kafka.producer import Producer
from hookseal.seal.keys import generate_private_key, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hookseal.bench.deployment import Deployment
    from hookseal.domain.command import Command
    from hookseal.seal.keys import KeyKind, PublicJwk

__all__ = ["COMMANDS_EACH", "Customer", "event_value", "make_customers", "publish", "register"]

# That make one tenant with a key and an endpoint.
COMMANDS_EACH = 3
_IN_FLIGHT = 500


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant with a key.

    Attributes:
        customer_id: Its id.
        partition: Where its events stand.
        key: What they are sealed to.
    """

    customer_id: str
    partition: int
    key: PublicJwk = field(repr=False)


def make_customers(kind: KeyKind = "rsa-2048", *, keys: int = CUSTOMERS) -> list[Customer]:
    """Make tenants, the same number for each partition, one partition after the other.

    Args:
        kind: Of their keys.
        keys: How many are made; with fewer than tenants, tenants share them. One of RSA-4096
            takes a second to make, and sealing to it costs the same whoever has it.
    """
    ids: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    share = CUSTOMERS // PARTITIONS
    for number in count():
        customer_id = f"customer-{number}"
        held = ids[partition_of(customer_id, PARTITIONS)]
        if len(held) < share:
            held.append(customer_id)
        elif all(len(found) == share for found in ids.values()):
            break
    made = cycle([parse_public_key(generate_private_key(kind)[1]) for _ in range(keys)])
    return [
        Customer(customer_id, partition, next(made))
        for column in zip(*ids.values(), strict=True)
        for partition, customer_id in enumerate(column)
    ]


def event_value(number: int, size_bytes: int = EVENT_BYTES) -> bytes:
    """Return an event of exactly this size: an order with a few lines, then filler."""
    lines = [
        {"sku": f"sku-{number % 997}-{line}", "quantity": line + 1, "price": "19.90"}
        for line in range(6)
    ]
    data = {"order": number, "currency": "EUR", "lines": lines, "note": ""}
    event = {"type": "order.paid", "id": f"evt_{number:012d}", "data": data}
    data["note"] = "x" * (size_bytes - len(orjson.dumps(event)))
    return orjson.dumps(event)


async def register(
    deployment: Deployment, customers: list[Customer], url: Callable[[str], str]
) -> None:
    """Write the commands that make the tenants, each with a key and an endpoint."""
    async with Producer(deployment.cluster) as producer:
        commands = KafkaCommands(producer, deployment.names, deployment.registry)
        for customer in customers:
            for command in _commands(customer, url(customer.customer_id)):
                await commands.submit(command)


async def publish(
    deployment: Deployment,
    customers: list[Customer],
    events: int,
    *,
    size_bytes: int = EVENT_BYTES,
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
        customer_id=customer_id,
        id=uuid4().hex,
        at=0.0,
        kid=key.kid,
        alg=key.alg,
        jwk=key.jwk,
    )
    yield AddEndpoint(
        customer_id=customer_id,
        id=uuid4().hex,
        at=0.0,
        endpoint_id="ep_1",
        url=url,
        event_types=("order.*",),
    )
