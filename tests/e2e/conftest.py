"""A provider's side on a real broker: topics, tenants, events, workers."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hookseal.domain.command import (
    AddEndpoint,
    AddPublicKey,
    ChangeEndpoint,
    CreateTenant,
    DisableTenant,
)
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.tenants.commands import KafkaCommands
from tests.brokers.reading import read_all
from tests.builders import public_key
from tests.e2e.api import Api
from tests.e2e.receiver import Receiver
from tests.e2e.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.domain.record import Header, Position, Record
    from hookseal.domain.tenant import PublicKey

PARTITIONS = 6


class Provider:
    """Drives one deployment of a test."""

    def __init__(
        self, settings: Settings, env: dict[str, str], folder: Path, stack: AsyncExitStack
    ) -> None:
        self.settings = settings
        self.names = settings.names
        self.env = env
        self._folder = folder
        self._stack = stack

    async def start(self) -> None:
        await topics.create(self.settings.cluster, partitions=PARTITIONS)
        self.producer = await self._stack.enter_async_context(Producer(self.settings.cluster))
        self.commands = KafkaCommands(self.producer, self.names, self.settings.tenant_codec())

    async def make_topics(self, partitions: dict[str, int]) -> None:
        """Make topics by hand, each with its own number of partitions."""
        admin = AIOKafkaAdminClient(**self.settings.cluster.arguments())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, n, 1) for name, n in partitions.items()])
        finally:
            await admin.close()

    async def limit(self, topic: str, *, max_message_bytes: int) -> None:
        """Have the broker refuse larger records of a topic."""
        admin = AIOKafkaAdminClient(**self.settings.cluster.arguments())
        await admin.start()
        try:
            configs = {"max.message.bytes": str(max_message_bytes), "cleanup.policy": "compact"}
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)]
            )
        finally:
            await admin.close()

    async def worker(self, name: str = "a", *, app: str = "streams.app", **env: str) -> Worker:
        return await self._started(Worker(name, {**self.env, **env}, self._folder, app))

    async def limited_worker(self, descriptors: int, **env: str) -> Worker:
        """Start a worker that may open so many files."""
        worker = Worker("a", {**self.env, **env}, self._folder)
        worker.descriptors = descriptors
        return await self._started(worker)

    async def _started(self, worker: Worker) -> Worker:
        await worker.start()
        self._stack.push_async_callback(worker.stop)
        return worker

    async def api(self, name: str = "api", **env: str) -> Api:
        """Return an API process that is ready."""
        api = await Api(name, {**self.env, **env}, self._folder).start()
        self._stack.push_async_callback(api.stop)
        await api.ready()
        return api

    async def receiver(self, host: str = "127.0.0.1") -> Receiver:
        return await self._stack.enter_async_context(Receiver(host=host))

    async def tenant(
        self,
        customer_id: str,
        *urls: str,
        event_types: str = "*",
        key: PublicKey | None = None,
        **endpoints: Any,
    ) -> None:
        """Create a tenant with a key and an endpoint `ep_1`, `ep_2`, … for each URL.

        `endpoints` are further members of its endpoints.
        """
        key = key or public_key()
        at: dict[str, Any] = {"customer_id": customer_id, "at": 0.0}
        await self.commands.submit(CreateTenant(id=uuid4().hex, **at))
        await self.commands.submit(
            AddPublicKey(id=uuid4().hex, kid=key.kid, alg=key.alg, jwk=key.jwk, **at)
        )
        for number, url in enumerate(urls, 1):
            await self.commands.submit(
                AddEndpoint(
                    id=uuid4().hex,
                    endpoint_id=f"ep_{number}",
                    url=url,
                    event_types=(event_types,),
                    **at,
                    **endpoints,
                )
            )

    async def change(self, customer_id: str, endpoint_id: str, **changes: Any) -> None:
        """Change an endpoint."""
        at: dict[str, Any] = {"customer_id": customer_id, "at": 0.0}
        await self.commands.submit(
            ChangeEndpoint(id=uuid4().hex, endpoint_id=endpoint_id, **at, **changes)
        )

    async def disabled_tenant(self, customer_id: str) -> None:
        await self.tenant(customer_id)
        await self.commands.submit(DisableTenant(customer_id=customer_id, id=uuid4().hex, at=0.0))

    async def publish(
        self, customer_id: str, number: int, *headers: Header, **where: Any
    ) -> Position:
        """Publish the event `<customer>-<number>`."""
        value = {
            "type": "order.paid",
            "id": f"{customer_id}-{number}",
            "data": {"number": number},
        }
        return await self.raw(customer_id.encode(), orjson.dumps(value), *headers, **where)

    async def raw(
        self, key: bytes | None, value: bytes | None, *headers: Header, **where: Any
    ) -> Position:
        return await self.producer.publish(
            self.names.events, key=key, value=value, headers=headers, **where
        )

    async def dead_letters(self) -> list[Record]:
        return [record async for record in read_all(self.settings.cluster, self.names.dead_letters)]

    async def dead_letters_reach(self, count: int, timeout_s: float = 60) -> None:
        """Wait until that many dead letters stand on the topic."""
        async with asyncio.timeout(timeout_s):
            while len(await self.dead_letters()) < count:
                pass

    async def reasons(self) -> dict[str, str]:
        """Return the reason of each dead letter, by event id."""
        headers = [added_headers(letter.headers) for letter in await self.dead_letters()]
        return {header["event-id"]: header["reason"] for header in headers}


def closed_port() -> int:
    """Return a port of this host on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def customers(count: int, *, partition: int | None = None, prefix: str = "c") -> list[str]:
    """Return customer ids, all of one partition if one is given."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        customer_id = f"{prefix}{number}"
        if partition in (None, partition_of(customer_id, PARTITIONS)):
            found.append(customer_id)
        number += 1
    return found


@pytest.fixture
async def provider(
    settings: Settings, settings_env: dict[str, str], tmp_path: Path
) -> AsyncIterator[Provider]:
    async with AsyncExitStack() as stack:
        running = Provider(settings, settings_env, tmp_path, stack)
        await running.start()
        yield running
