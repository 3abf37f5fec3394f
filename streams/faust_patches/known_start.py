"""Start a partition only when its committed offset is known.

Symptom: after a rebalance Faust fetches a partition before it asks what is committed, and drops
the records until the flow resumes. A record that arrives in between looks like the first one: on
Apache Kafka 4.4 with workers killed every few seconds 4 of 12 runs lost or misordered events.
aiokafka's `seek_to_committed` leaves a partition without a commit where it is, so its dropped
records (in a new group: its first events) are never read again. When it stops, Faust seeks once
more: the request is cancelled, aiokafka gives up the coordinator, and the worker cannot leave the
group.
Patches: Consumer.perform_seek.
Test: TestStart, test_seek_to_committed_leaves_a_partition_without_commit_where_it_is.
Drop when: a Faust release seeks before it fetches, also where nothing is committed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streams.faust_patches.commit_metadata import CommitMetadata
from streams.faust_patches.rewind import Rewind

if TYPE_CHECKING:
    from faust.types import TP


class KnownStart(Rewind, CommitMetadata):
    """A consumer that knows from which offset each partition is read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sought = asyncio.Event()
        super().__init__(*args, **kwargs)

    async def wait_for_committed_offset(self, tp: TP) -> bool:
        """Wait until the committed offset of the assigned partition is known.

        Until then, the first record to arrive may not be the first that is due.

        Returns whether the partition is still assigned to this worker.
        """
        while tp not in self._starts:
            self._sought.clear()
            await self._sought.wait()
            if tp not in self._starts and tp not in self.assignment():
                return False
        return True

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, and to the start where nothing is committed."""
        if self.app.should_stop:
            # The worker could not leave the group, and its partitions would wait for the
            # session timeout: see the symptom.
            return
        await super().perform_seek()
        held = {tp for tp in self.assignment() if not self._is_changelog_tp(tp)}
        fresh = {tp for tp in held if not self._committed_offset[tp]}
        starts = {tp: self._committed_offset[tp] or 0 for tp in held - fresh}
        if fresh:
            for tp, start in (await self.earliest_offsets(*fresh)).items():
                starts[tp] = max(start, self._low_watermark(tp))
                await self.rewind(tp, starts[tp])
        self._starts.update(starts)
        self._sought.set()
