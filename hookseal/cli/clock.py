"""How late the newest records are: the one look at other machines' clocks that writes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from hookseal.kafka.reader import places_of
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from aiokafka import TopicPartition

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
        *await places_of(cluster, names.events),
        *await places_of(cluster, names.tenants_changelog),
    ]
    consumer = AIOKafkaConsumer(**cluster.arguments(), enable_auto_commit=False)
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise cluster.unreachable() from error
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await _newest(consumer, places)
    except TimeoutError:
        return None
    finally:
        await consumer.stop()


async def _newest(consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> float | None:
    starts = await consumer.beginning_offsets(places)
    ends = await consumer.end_offsets(places)
    waiting = {place for place in places if ends[place] > starts[place]}
    if not waiting:
        return None
    consumer.assign(list(waiting))
    for place in waiting:
        consumer.seek(place, ends[place] - 1)
    newest = 0.0
    while waiting:
        for place, records in (await consumer.getmany(timeout_ms=500)).items():
            newest = max(newest, *(record.timestamp / 1000 for record in records))
            waiting.discard(place)
    return newest
