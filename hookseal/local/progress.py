"""Progress of the processes of `hookseal local`, from their leases and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.progress import PartitionProgress, Progress, Worker
from hookseal.kafka.consumer_group import oldest_event

if TYPE_CHECKING:
    from hookseal.local.leases import Leases
    from hookseal.local.store import Store


class LocalProgress:
    """`ProgressSource` of a store. It deletes delivered events and has no committed offsets."""

    def __init__(self, store: Store, leases: Leases) -> None:
        self._store = store
        self._leases = leases

    async def progress(self) -> Progress:
        """Return the processes and the oldest events; raise `redis_unreachable`."""
        holders = await self._leases.holders()
        workers = [
            Worker(name, "", name.partition(":")[0], tuple(sorted(partitions)))
            for name, partitions in sorted(holders.items())
        ]
        return Progress(
            None,
            None,
            workers,
            [
                await self._partition(partition, lag)
                for partition, lag in enumerate(await self._store.unfinished())
            ],
        )

    async def _partition(self, partition: int, lag: int) -> PartitionProgress:
        found = await self._store.events(partition, -1, 1, wait_s=0) if lag else ()
        return PartitionProgress(partition, lag, oldest=oldest_event(found[0]) if found else None)
