"""Read the changelog of a table in batches, and stop the worker if a batch cannot be stored.

Symptom: the recovery of a table logs an error of the store ("Error in recovery") and continues: the
table stays incomplete. Records that were queued before a rebalance are applied after it, and their
offsets count as read. Each record passes the conductor, an event and a queue with a timeout of 5 s:
some 280 us each.
Patches: Recovery._slurp_changelogs, ._set_recovery_started, .on_recovery_completed, and the
scheduler of the consumer (`ChangelogDispatcher`), which applies a fetched batch at once.
Test: tests/unit/streams/test_tenants_table_recovery.py, test_batch_dispatcher.py.
Drop when: a Faust release stops on an error of the store and empties its queue at a rebalance.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from streams.changelog import ChangelogTable
    from streams.consumer import OffsetTrackingConsumer
    from streams.faust_app import HooksealApp

_SAMPLES = 20


def _raise(error: BaseException) -> None:
    raise error


class Change(NamedTuple):
    """A record of a changelog, instead of Faust's event and its message.

    A value of None deletes the key.
    """

    tp: TP
    offset: int
    key: bytes | None
    value: bytes | None

    @property
    def message(self) -> Change:
        """Itself."""
        return self

    @property
    def topic(self) -> str:
        """As Faust's message."""
        return self.tp.topic

    @property
    def partition(self) -> int:
        """As Faust's message."""
        return self.tp.partition


class Dispatcher:
    """Dispatches fetched batches before Faust's scheduler, which gets the rest."""

    def __init__(self, consumer: OffsetTrackingConsumer, rest: Any) -> None:
        self._consumer = consumer
        self._rest = rest

    def iterate(self, records: Mapping[TP, Sequence[Any]]) -> Iterator[tuple[TP, Any]]:
        """Dispatch; return the other records, which Faust dispatches one by one."""
        rest = {}
        for topic_partition, found in records.items():
            # aiokafka's TopicPartition is equal to Faust's TP, but Faust insists on its own.
            tp = TP(*topic_partition)
            if not self.dispatch(tp, found):
                rest[tp] = found
        left: Iterator[tuple[TP, Any]] = self._rest.iterate(rest)
        return left

    def dispatch(self, tp: TP, records: Sequence[Any]) -> bool:
        """Dispatch the records of one partition; return False to leave them to the rest."""
        raise NotImplementedError


class ChangelogDispatcher(Dispatcher):
    """Gives fetched records of changelogs to the recovery."""

    def dispatch(self, tp: TP, records: Sequence[Any]) -> bool:
        """Apply the records if they are of a changelog."""
        tables: Any = self._consumer.app.tables
        if tp.topic not in tables.changelog_topics:
            return False
        tables.recovery.apply(tp, records)
        return True


class TableRecovery(Recovery):
    """Faust's recovery, which reads the changelogs in batches.

    Faust decides when a recovery starts, restarts and ends, and from which offset to which.
    """

    # Of batches. Faust logs an estimate of the remaining time every few seconds.
    num_samples_required_for_estimate = _SAMPLES

    def apply(self, tp: TP, records: Sequence[Any]) -> None:
        """Apply records of a changelog's partition to its table.

        Records are aiokafka's, in the order of their offsets. Partitions that are neither active
        nor standby are ignored.
        """
        consumer = cast("OffsetTrackingConsumer", self.app.consumer)
        is_active = tp in self.active_tps
        if not consumer.is_fetching(tp) or not (is_active or tp in self.standby_tps):
            return
        began = time.monotonic()
        offsets = self.active_offsets if is_active else self.standby_offsets
        seen = offsets.get(tp)
        news = [
            Change(tp, record.offset, record.key, record.value)
            for record in records
            if seen is None or record.offset > seen
        ]
        if news:
            self.tp_to_table[tp].apply_changelog_batch(cast("Any", news))
            # Only now: if the store fails, the batch must not count as read.
            offsets[tp] = news[-1].offset
            self._last_flush_at = began
        if is_active:
            self._active_events_received_at[tp] = began
            self._sample(began, len(records))
        self._signal_end()

    def _sample(self, now: float, records: int) -> None:
        since, self._last_active_event_processed_at = self._last_active_event_processed_at, now
        if since is not None and records:
            self._processing_times.append((now - since) / records)
            if len(self._processing_times) > self.num_samples_required_for_estimate:
                self._processing_times.popleft()

    def _signal_end(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()
        if not self.tables.standbys_ready and not any(
            end > (self.standby_offsets.get(tp) or -1)
            for tp, end in self.standby_highwaters.items()
        ):
            self.tables.on_standbys_ready()

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Start the agents, unless a table is unusable: then the worker ends."""
        # Faust ignores errors of a table's own callback.
        for table in self.tables.values():
            error = await cast("ChangelogTable", table).why_unusable()
            if error is not None:
                # In a callback: raised here, it would be logged as a crash of the recovery.
                exits = cast("HooksealApp", self.app).refused(error)
                asyncio.get_running_loop().call_soon(_raise, exits)
                await asyncio.Event().wait()
        await super().on_recovery_completed(generation_id)

    def _set_recovery_started(self) -> None:
        # Once, and not with each record: the signal stays set until somebody waited for it.
        self.signal_recovery_end.clear()
        super()._set_recovery_started()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Do nothing: no record comes through the queue."""
