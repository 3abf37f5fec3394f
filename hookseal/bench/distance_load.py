"""A thousand tenants with an endpoint each, straight into the changelog."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import PublicKey, Tenant
from hookseal.kafka.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.bench.deployment import Deployment
    from hookseal.bench.load import Customer

__all__ = ["write_customers"]


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
