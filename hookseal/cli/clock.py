"""How late the newest records are: the one look at other machines' clocks that writes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.kafka.consumer import consume, read_ranges, topic_partitions
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from hookseal.kafka.cluster import Cluster

__all__ = ["newest_timestamp"]

_PATIENCE_S = 3.0


async def newest_timestamp(cluster: Cluster) -> float | None:
    """Return the latest timestamp at the ends of `events` and of the tenants' changelog.

    Returns:
        Unix seconds, by the clock of whoever wrote the record; None when the topics are
        empty, or cannot be read within three seconds.

    Raises:
        BrokerError: `broker_unreachable`, `topic_missing`.
    """
    names = TopicNames(cluster.topic_prefix)
    places = [
        *await topic_partitions(cluster, names.events),
        *await topic_partitions(cluster, names.tenants_changelog),
    ]
    async with consume(cluster) as consumer:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await _newest(consumer, places)
        except TimeoutError:
            return None


async def _newest(consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> float | None:
    starts = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    ranges = {place: (max(starts[place], ends[place] - 1), ends[place]) for place in places}
    times = [record.timestamp / 1000 async for record in read_ranges(consumer, ranges)]
    return max(times, default=None)
