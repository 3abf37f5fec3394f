"""Commit only offsets whose events are done.

Symptom: Faust acknowledges an event even if its handler was cancelled or failed, so SIGTERM during
a backoff lost the event (upstream issue 312). It commits over a gap of one unacknowledged event
(upstream issue 606), and counts gaps in the log as acknowledged events. For each commit it
formats a table for a log that is off: a third of the CPU of a commit.
Patches: Consumer._filter_tps_with_pending_acks, ._new_offset, ._filter_committable_offsets,
._commit_offsets, ._add_gap.
Test: TestCommittable, TestFinished.
Drop when: a Faust release commits only what the application marked as done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

from hookseal.delivery.ordering import OffsetTracker, offset_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from faust.types import TP


class OffsetCommits(driver.Consumer):
    """Commits the low watermark of each partition, with the ranges completed above it.

    Trackers survive a rebalance, so that a partition that stays or comes back is not delivered
    twice.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._trackers: dict[TP, OffsetTracker] = {}
        self._committed_metadata: dict[TP, str] = {}
        self._unknown: set[TP] = set()
        self._starts: dict[TP, int] = {}
        self.metadata: dict[TP, str] = {}
        super().__init__(*args, **kwargs)

    def tracker(self, tp: TP) -> OffsetTracker:
        """Return the tracker of the partition's done offsets."""
        if tp not in self._trackers:
            self._trackers[tp] = OffsetTracker()
        return self._trackers[tp]

    def mark_done_through(self, tp: TP, offset: int) -> None:
        """Mark every event of the partition up to this offset as done."""
        self.tracker(tp).mark_done_below(offset + 1)

    def low_watermark(self, tp: TP) -> int:
        """Return the offset below which every event is done; 0 until the start is known."""
        return max(
            self._low_watermark(tp), self._committed_offset[tp] or 0, self._starts.get(tp, 0)
        )

    def reset_if_topic_recreated(self, tp: TP, end: int) -> bool:
        """Drop offsets beyond the partition's end; return whether there were any."""
        if self._starts.get(tp, 0) > end:
            self._starts[tp] = 0
        if self._low_watermark(tp) <= end:
            return False
        self._trackers[tp].reset()
        return True

    def _low_watermark(self, tp: TP) -> int:
        return self._trackers[tp].low_watermark if tp in self._trackers else 0

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        # A worker that was refused at its start has no assignment.
        held = self.assignment() if self._trackers else set()
        return (
            tp
            for tp in self._trackers
            # Until the committed offset is known, a commit might go back.
            if tp in held - self._unknown and (topics is None or tp in topics or tp.topic in topics)
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self._low_watermark(tp) or None

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        # No await between low watermark and metadata: the ranges count from the low watermark.
        committable = {}
        for tp in tps:
            tracker = self.tracker(tp)
            metadata = offset_metadata.encode(tracker.low_watermark, tracker.completed_ranges)
            committed = self._committed_offset[tp] or 0
            is_new = metadata != self._committed_metadata.get(tp, "")
            if tracker.low_watermark > committed or (tracker.low_watermark == committed and is_new):
                committable[tp] = tracker.low_watermark
                self.metadata[tp] = metadata
        return committable

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: FBT001, FBT002 - Faust's signature
    ) -> bool:
        """Commit the partitions that are still assigned."""
        del start_new_transaction
        assignment = self.assignment()
        held = {tp: offset for tp, offset in offsets.items() if tp in assignment}
        if not held:
            return False
        await self.app.producer.flush()
        done = await self._commit(held)
        if done:
            self.app.tables.on_commit(held)
            # Faust does this after a refused commit too, so an idle partition stays uncommitted.
            self._committed_offset.update(held)
            self.app.monitor.on_tp_commit(held)
        return done

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps in the log (compaction, transaction markers) mean nothing here."""
