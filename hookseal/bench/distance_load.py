"""A thousand tenants with an endpoint each, straight into the changelog."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from hookseal.bench.load import Customer
from hookseal.bench.scenario import PARTITIONS
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import PublicKey, Tenant
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.seal.keys import generate_private_key, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.bench.deployment import Deployment

__all__ = ["many_customers", "write_customers"]


def many_customers(customers: int) -> list[Customer]:
    """Make tenants that share one RSA key, partition after partition in turns.

    A key each would take minutes to make; what sealing costs does not depend on whose it is.
    """
    key = parse_public_key(generate_private_key("rsa-2048")[1])
    ids: dict[int, list[str]] = {partition: [] for partition in range(PARTITIONS)}
    numbers = count()
    made = []
    for place in range(customers):
        held = ids[place % PARTITIONS]
        while not held:
            customer_id = f"customer-{next(numbers)}"
            ids[partition_of(customer_id, PARTITIONS)].append(customer_id)
        made.append(Customer(held.pop(), place % PARTITIONS, key))
    return made


async def write_customers(
    deployment: Deployment, customers: Sequence[Customer], url: Callable[[str], str]
) -> None:
    """Write their documents, as the worker would have done on commands for each."""
    async with Producer(deployment.cluster) as producer:
        await asyncio.gather(
            *(
                producer.publish(
                    deployment.names.tenants_changelog,
                    key=customer.customer_id.encode(),
                    value=deployment.registry.document(_tenant(customer, url)),
                    partition=customer.partition,
                )
                for customer in customers
            )
        )


def _tenant(customer: Customer, url: Callable[[str], str]) -> Tenant:
    key = customer.key
    return Tenant(
        customer.customer_id,
        revision=1,
        public_keys=(PublicKey(key.kid, key.alg, key.jwk),),
        endpoints=(Endpoint("ep_1", url(customer.customer_id), ("order.*",)),),
    )
