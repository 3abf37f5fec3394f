"""A consumer for a moment, and records found by their offsets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import ConsumerRecord

    from hookseal.kafka.cluster import Cluster

__all__ = ["reading", "records_at"]

_FETCH_WAIT_MS = 100
# Reading on costs less than a new fetch up to here.
_READ_ON = 2_000


@asynccontextmanager
async def reading(cluster: Cluster, *, committed: bool = False) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer without a group.

    Args:
        cluster: Where to read.
        committed: Whether records of open or aborted transactions are passed over.

    Raises:
        BrokerError: `broker_unreachable`.
    """
    isolation = "read_committed" if committed and cluster.idempotence else "read_uncommitted"
    consumer = AIOKafkaConsumer(
        **cluster.arguments(),
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level=isolation,
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise cluster.unreachable() from error
    try:
        yield consumer
    finally:
        await consumer.stop()


async def records_at(
    consumer: AIOKafkaConsumer, place: TopicPartition, offsets: Sequence[int]
) -> list[ConsumerRecord]:
    """Return the records at these ascending offsets; those that are gone are left out."""
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    start = (await consumer.beginning_offsets([place]))[place]
    wanted = [offset for offset in offsets if start <= offset < end]
    found: list[ConsumerRecord] = []
    at = 0
    position = -1
    while at < len(wanted):
        if position < 0 or wanted[at] - position > _READ_ON:
            position = wanted[at]
            consumer.seek(place, position)
        try:
            batches = await consumer.getmany(timeout_ms=1000)
        except OffsetOutOfRangeError:
            # Retention was quicker.
            start = (await consumer.beginning_offsets([place]))[place]
            while at < len(wanted) and wanted[at] < start:
                at += 1
            position = -1
            continue
        for record in batches.get(place, ()):
            while at < len(wanted) and wanted[at] < record.offset:
                at += 1
            if at < len(wanted) and wanted[at] == record.offset:
                found.append(record)
                at += 1
        position = await consumer.position(place)
        while at < len(wanted) and wanted[at] < position:
            at += 1
    return found
