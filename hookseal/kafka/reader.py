"""Reading a topic as it stands, from its first record to its last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from hookseal.domain.record import Record
from hookseal.errors import BrokerError
from hookseal.kafka.topics import partitions_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiokafka import ConsumerRecord

    from hookseal.kafka.cluster import Cluster

__all__ = ["places_of", "read_all", "record_from"]

_POLL_MS = 1000


async def read_all(
    cluster: Cluster, topic: str, *, partition: int | None = None
) -> AsyncIterator[Record]:
    """Yield what stands on the topic now: in order within a partition, unordered across.

    Args:
        cluster: Where to read.
        topic: The topic's name, prefix included.
        partition: Only this one, counted from 0.

    Raises:
        BrokerError: `broker_unreachable`, `topic_missing`.
    """
    places = await places_of(cluster, topic, None if partition is None else (partition,))
    consumer = AIOKafkaConsumer(
        **cluster.arguments(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise cluster.unreachable() from error
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        behind = {place for place in places if ends[place] > await consumer.position(place)}
        while behind:
            for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record_from(record)
            behind = {place for place in behind if ends[place] > await consumer.position(place)}
    finally:
        await consumer.stop()


async def places_of(
    cluster: Cluster, topic: str, partitions: tuple[int, ...] | None = None
) -> list[TopicPartition]:
    """Return these partitions of a topic, or all of them.

    Raises:
        BrokerError: `broker_unreachable`, `topic_missing`.
    """
    if partitions is None:
        count = (await partitions_of(cluster, [topic])).get(topic, 0)
        partitions = tuple(range(count))
    if not partitions:
        raise BrokerError(
            "topic_missing",
            f"There is no topic {topic}; make it with `hookseal topics create`.",
            field=topic,
        )
    return [TopicPartition(topic, partition) for partition in partitions]


def record_from(record: ConsumerRecord) -> Record:
    """Return aiokafka's record as ours, its bytes and headers untouched."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple(record.headers),
        record.timestamp,
        getattr(record, "fault", None),
    )
