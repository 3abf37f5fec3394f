"""The tenants as the changelog tells of them: a read model that follows it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from hookseal.domain.tenant import decode
from hookseal.errors import BrokerError, InvalidInputError
from hookseal.kafka.reader import places_of
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiokafka import ConsumerRecord

    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.cluster import Cluster

__all__ = ["TenantsFollower"]

_log = logging.getLogger(__name__)


class TenantsFollower:
    """Reads the tenants table's changelog from its start and follows it.

    Use as an asynchronous context manager; entering returns once everything that stood in
    the changelog is read.
    """

    def __init__(self, cluster: Cluster, *, partitions: Iterable[int] | None = None) -> None:
        """Follow these partitions, or all."""
        self._cluster = cluster
        self._topic = TopicNames(cluster.topic_prefix).tenants_changelog
        self._partitions = None if partitions is None else tuple(partitions)
        self._tenants: dict[str, Tenant] = {}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **self._cluster.arguments(), enable_auto_commit=False, auto_offset_reset="earliest"
        )
        try:
            await self._consumer.start()
            await self._read_what_stands()
        except (KafkaError, OSError) as error:
            await self._consumer.stop()
            raise self._cluster.unreachable() from error
        except BaseException:
            await self._consumer.stop()
            raise
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self._consumer.stop()

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it was read last, or None."""
        return self._tenants.get(customer_id)

    def all(self) -> Sequence[Tenant]:
        """Return the tenants, by customer id."""
        return [self._tenants[customer_id] for customer_id in sorted(self._tenants)]

    async def result_of(
        self, customer_id: str, command_id: str, *, existed: bool, timeout_s: float
    ) -> str:
        """Wait for a command to be applied; return `ok` or the code of its refusal.

        Args:
            customer_id: Whose tenant.
            command_id: Of a command that was submitted.
            existed: Whether there was a tenant before. If there is none after, it was
                deleted, which counts as `ok`; otherwise it is yet to be made.
            timeout_s: Seconds to wait.

        Raises:
            BrokerError: `no_worker_answered`, after `timeout_s` seconds.
        """

        def answered() -> str | None:
            tenant = self._tenants.get(customer_id)
            if tenant is None:
                return "ok" if existed else None
            return tenant.result_of(command_id)

        try:
            await self.until(lambda: answered() is not None, timeout_s=timeout_s)
        except TimeoutError:
            raise BrokerError(
                "no_worker_answered",
                f"No worker applied the change within {timeout_s:.0f} s. It stands on "
                "`tenant-commands` and takes effect once a worker runs.",
            ) from None
        return answered() or "ok"

    async def until(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until the condition holds; it is looked at after each change.

        Raises:
            TimeoutError: It did not within `timeout_s` seconds.
        """
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _read_what_stands(self) -> None:
        places = await places_of(self._cluster, self._topic, self._partitions)
        self._consumer.assign(places)
        await self._consumer.seek_to_beginning(*places)
        ends = await self._consumer.end_offsets(places)
        behind = {place for place in places if ends[place] > await self._consumer.position(place)}
        while behind:
            batches = await self._consumer.getmany(timeout_ms=1000)
            for records in batches.values():
                for record in records:
                    self._take(record)
            behind = {
                place for place in behind if ends[place] > await self._consumer.position(place)
            }

    async def _follow(self) -> None:
        async for record in self._consumer:
            self._take(record)
            async with self._changed:
                self._changed.notify_all()

    def _take(self, record: ConsumerRecord) -> None:
        if record.key is None:
            return
        customer_id = record.key.decode("utf-8", "replace")
        if record.value is None:
            self._tenants.pop(customer_id, None)
            return
        try:
            self._tenants[customer_id] = decode(record.value)
        except InvalidInputError as error:
            _log.error(
                "Skipped a record of %s at %d/%d: %s",
                record.topic,
                record.partition,
                record.offset,
                error.code,
            )
