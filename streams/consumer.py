"""Faust's consumer, told what is finished instead of guessing it from acks.

Faust 0.15.3 commits what was acked, and acks too much: a cancelled or failed event, an
event of an older generation on the pure-Python path, and the single event in a gap of
one (`transport/consumer.py`, `_new_offset`; upstream issues 312 and 606). Here an offset
is committed when a lane said that everything up to it is finished, and for no other
reason. `docs/faust.md` has the experiments.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from faust.transport.conductor import Conductor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from hookseal.delivery.ordering import OffsetTracker, offset_metadata
from streams.consumer_thread import KafkaConsumerThread
from streams.fast_path.batch_dispatcher import BatchDispatcher
from streams.faust_patches.table_recovery import ChangelogDispatcher
from streams.faust_patches.whole_records import WholeRecords
from streams.membership import Membership
from streams.producer import ReportingProducer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["OffsetTrackingConsumer", "OffsetTrackingTransport", "StaticSubscriptionConductor"]


class NoReadOffsets(dict[Any, Any]):
    """Faust's note of the last record it handed over in each partition: always none.

    Faust hands a batch over to its end although the position went back meanwhile, notes
    its last offset, and then drops what is read again up to there. A gap at the head of
    a batch would stand still until something new comes. What repeats is passed over by
    the lanes.
    """

    def __getitem__(self, _: Any) -> None:
        """Return that nothing was handed over."""
        return


class OffsetTrackingConsumer(WholeRecords):
    """Commits the low-water mark of finished events, and what is finished above it.

    Both are facts: every such event was finished, here or by an earlier owner of the
    partition. They survive a rebalance, so that a partition that stays, or comes back,
    does not do the same work twice.
    """

    _thread: KafkaConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._trackers: dict[TP, OffsetTracker] = {}
        self._committed_metadata: dict[TP, str] = {}
        self._unknown: set[TP] = set()
        self._starts: dict[TP, int] = {}
        self._sought = asyncio.Event()
        self._revoking = False
        self.metadata: dict[TP, str] = {}
        super().__init__(*args, **kwargs)
        self._read_offset = NoReadOffsets()
        scheduler: Any = ChangelogDispatcher(self, self.scheduler)
        if self.app.fast_path:  # type: ignore[attr-defined]
            scheduler = BatchDispatcher(self, scheduler)
        self.scheduler = scheduler
        self.membership = Membership(
            self.app.conf.broker_session_timeout, rebalancing=lambda: self.app.rebalancing
        )

    def _new_consumer_thread(self) -> KafkaConsumerThread:
        return KafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def rewind(self, tp: TP, offset: int) -> None:
        """Read the partition from this offset again.

        In the client's own thread: from here it might cross a fetch that is just handed
        out, whose end would become the position again.
        """
        await self._thread.seek_wait({tp: offset})

    async def wait_for_committed_offset(self, tp: TP) -> bool:
        """Wait until it is known where the partition, as it is assigned now, is to be read from.

        What comes before that is no measure: Faust fetches a partition, drops what it
        fetched, and only then asks what is committed. Taken for the first that is due, the
        next record would leave a hole that nobody knows of.

        Returns whether it is still ours: a partition that went elsewhere meanwhile would be
        waited for without end.
        """
        while tp not in self._starts:
            self._sought.clear()
            await self._sought.wait()
            if tp not in self._starts and tp not in self.assignment():
                return False
        return True

    def is_fetching(self, tp: TP) -> bool:
        """Tell whether what is fetched of the partition would be handed over now."""
        return self.flow_active and (
            tp in self._active_partitions or tp in self._buffered_partitions
        )

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109
        records, active = await super()._wait_next_records(timeout)
        # Faust would seek to what is committed if the flow is stopped: in the middle of a
        # rebalance, for the partitions of before. It seeks once more when that is over.
        return (records if self.flow_active else None), active

    def tracker(self, tp: TP) -> OffsetTracker:
        """Return how far the partition is finished, to be read and to be told."""
        if tp not in self._trackers:
            self._trackers[tp] = OffsetTracker()
        return self._trackers[tp]

    def mark_done_through(self, tp: TP, offset: int) -> None:
        """Note that every event of the partition up to this offset is finished."""
        self.tracker(tp).mark_done_below(offset + 1)

    def low_watermark(self, tp: TP) -> int:
        """Return the offset below which every event is finished; 0 if nothing is known.

        Nothing is known only before `start_known`: a partition without a commit is finished
        below the start of its log.
        """
        return max(
            self._low_watermark(tp), self._committed_offset[tp] or 0, self._starts.get(tp, 0)
        )

    def reset_if_topic_recreated(self, tp: TP, end: int) -> bool:
        """Drop marks beyond the partition's end: the topic was deleted and made anew.

        Returns whether it was.
        """
        if self._starts.get(tp, 0) > end:
            self._starts[tp] = 0
        if self._low_watermark(tp) <= end:
            return False
        self._trackers[tp].reset()
        return True

    def _low_watermark(self, tp: TP) -> int:
        return self._trackers[tp].low_watermark if tp in self._trackers else 0

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        # A worker that was refused at its start has no assignment to ask for.
        held = self.assignment() if self._trackers else set()
        return (
            tp
            for tp in self._trackers
            # Until it is known what is committed, a commit might go back.
            if tp in held - self._unknown and (topics is None or tp in topics or tp.topic in topics)
        )

    def _new_offset(self, tp: TP) -> int | None:
        return self._low_watermark(tp) or None

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        # Mark and note in one moment: the note counts from the mark.
        committable = {}
        for tp in tps:
            tracker = self.tracker(tp)
            metadata = offset_metadata.encode(tracker.low_watermark, tracker.completed_ranges)
            committed = self._committed_offset[tp] or 0
            is_news = (
                tracker.low_watermark == committed
                and metadata != self._committed_metadata.get(tp, "")
            )
            if tracker.low_watermark > committed or is_news:
                committable[tp] = tracker.low_watermark
                self.metadata[tp] = metadata
        return committable

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            self._committed_metadata.update({tp: self.metadata[tp] for tp in offsets})
        return done

    async def _commit_offsets(
        self,
        offsets: Mapping[TP, int],
        start_new_transaction: bool = True,  # noqa: FBT001, FBT002 - Faust's signature
    ) -> bool:
        """Commit what is still ours, and spare the table that Faust draws of it each time.

        A third of what a commit costs went into that, for a log that nobody had switched on.
        """
        del start_new_transaction
        assignment = self.assignment()
        held = {tp: offset for tp, offset in offsets.items() if tp in assignment}
        if not held:
            return False
        await self.app.producer.flush()
        done = await self._commit(held)
        if done:
            self.app.tables.on_commit(held)
        self._committed_offset.update(held)
        self.app.monitor.on_tp_commit(held)
        return done

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps in the log (compaction, transaction markers) mean nothing here."""

    async def perform_seek(self) -> None:
        """Go back to the committed offsets, and to the start where nothing is committed.

        aiokafka's `seek_to_committed` leaves a partition without a commit where it is.
        What Faust fetched and dropped during a rebalance would never be read again: on a
        fresh group that is the first events of a partition.
        """
        if self.app.should_stop:
            # Faust seeks once more when the fetcher is stopped. The request would be cut
            # off on its way, aiokafka would give up the coordinator, and the worker could
            # not leave the group: its partitions would wait for the session to time out.
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

    async def seek_to_committed(self) -> Any:
        """Seek to the committed offsets, and learn what is finished above them."""
        found: dict[TP, int | None] = {}
        for place, committed in (await self._thread.committed()).items():
            tp = TP(*place)
            found[tp] = None
            if committed is not None:
                found[tp] = committed.offset
                completed_ranges = offset_metadata.decode(committed.metadata, committed.offset)
                self.tracker(tp).load(committed.offset, completed_ranges)
                self._committed_metadata[tp] = committed.metadata
            self._unknown.discard(tp)
        return found

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 - Faust's signature
        """Commit what is finished, unless the group is between two generations.

        A commit that crosses the change of generation is refused, and aiokafka answers
        with joining once more: every rebalance would bring another.
        """
        if self.app.rebalancing and not self._revoking:
            return False
        return await super().commit(topics, start_new_transaction)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is finished before the partitions go.

        Faust drops what was acked since the last commit, of all partitions, at each
        rebalance (upstream issue 502): the new owner would repeat it. Nothing new is
        started from here on, and what is on the wire is given a moment to end, so that it
        is committed too.
        """
        lifecycle = getattr(self.app, "lifecycle", None)
        self._revoking = True
        try:
            if lifecycle is not None:
                await lifecycle.flush_before_revoke()
            await self.commit()
        except Exception as error:  # noqa: BLE001 - a failed commit costs repeats, no more
            self.log.warning("commit on revocation failed: %r", error)
        finally:
            self._revoking = False
            self._unknown |= revoked
            for tp in revoked:
                self._starts.pop(tp, None)
        if lifecycle is not None and self._lost_membership():
            await lifecycle.reset_partitions(revoked)
        await super().on_partitions_revoked(revoked)

    def _lost_membership(self) -> bool:
        """Tell whether the group has, or may have, given our partitions to others already.

        Then a partition that comes back in the same rebalance was another's in between: to
        Faust it looks like one that stayed.
        """
        client = self._thread._consumer  # noqa: SLF001
        coordinator = None if client is None else client._coordinator  # noqa: SLF001
        is_member = coordinator is None or bool(getattr(coordinator, "member_id", ""))
        return self.membership.has_lapsed or not is_member


class StaticSubscriptionConductor(Conductor):
    """A conductor whose subscription stands: the same topics from start to stop.

    Faust takes the end of an isolated actor for a change of the topics. 45 s after every
    rebalance that moved a partition it would subscribe anew, which is a rebalance of its
    own; one that comes meanwhile waits for it; a worker that lost its last partition
    would unsubscribe for good; and on the way out it would drop the assignment before
    the last commit.
    """

    def discard(self, topic: Any) -> None:
        """Forget the actor's channel; the topic stays subscribed."""
        self._topics.discard(topic)


class OffsetTrackingTransport(driver.Transport):
    """Faust's aiokafka transport with the consumer, the conductor and the producer of ours."""

    Consumer = OffsetTrackingConsumer
    Producer = ReportingProducer
    Conductor = StaticSubscriptionConductor
