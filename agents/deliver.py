"""The Faust agent of `events`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faust.types import StreamT

    from hookseal.runtime.partition_runner import PartitionRunner


async def deliver(stream: StreamT[bytes], *, partitions: PartitionRunner[StreamT[bytes]]) -> None:
    """Deliver the events of one partition, until the partition is revoked or the worker stops."""
    async with partitions.open(stream) as partition:
        async for record in partition.records():
            # Backpressure: returns once the record has a place in a queue.
            await partition.submit(record)
