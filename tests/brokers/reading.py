"""Reads what a topic has now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.kafka.consumer import consume, read_ranges, record_from, topic_partitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster


async def read_all(
    cluster: Cluster, topic: str, *, partition: int | None = None
) -> AsyncIterator[Record]:
    """Yield the current records of a topic, or of one partition; order holds per partition."""
    partitions = await topic_partitions(cluster, topic, None if partition is None else (partition,))
    async with consume(cluster, from_earliest=True) as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        ranges = {place: (starts[place], ends[place]) for place in partitions}
        async for record in read_ranges(consumer, ranges):
            yield record_from(record)
