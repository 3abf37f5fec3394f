"""The tenants' changelog, written as the table does, and what a model makes of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hookseal.kafka.producer import Producer
from hookseal.kafka.topics import TopicNames
from hookseal.seal.registry import RegistryMac
from tests.builders import MASTER_KEY, a_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.domain.record import Position
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.cluster import Cluster
    from hookseal.tenants.codec import TenantCodec
    from hookseal.tenants.model import TenantsModel


class Changelog:
    def __init__(self, producer: Producer, names: TopicNames, codec: TenantCodec) -> None:
        self._producer = producer
        self._topic = names.tenants_changelog
        self._registry = codec

    async def put(self, tenant: Tenant) -> Position:
        return await self.write(tenant.customer_id, self._registry.document(tenant))

    def signed(self, customer_id: str, document: bytes) -> bytes:
        """Return any document with the MAC of a worker's."""
        return RegistryMac([MASTER_KEY]).attach(self._topic, customer_id.encode(), document)

    async def write(self, customer_id: str, value: bytes | None) -> Position:
        return await self._producer.publish_surely(
            self._topic, key=customer_id.encode(), value=value
        )


@asynccontextmanager
async def writing(cluster: Cluster) -> AsyncIterator[Changelog]:
    async with Producer(cluster) as producer:
        names = TopicNames(cluster.topic_prefix)
        yield Changelog(producer, names, a_registry(cluster.topic_prefix))


def code_of(model: TenantsModel) -> str | None:
    """Return why the model is not ready, or None if it is."""
    trouble = model.why_not_ready()
    return None if trouble is None else trouble.code
