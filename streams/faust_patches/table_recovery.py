"""Read the changelog of a table in batches, and stop the worker if a batch cannot be stored.

Symptom: the recovery of a table logs an error of the store ("Error in recovery") and goes on: the
table stays incomplete. Records that were queued before a rebalance are applied after it, and their
offsets count as read. Each record passes the conductor, an event and a queue, and is waited for
with a timeout of 5 s: some 280 us each.
Patches: Recovery._slurp_changelogs, ._set_recovery_started, .on_recovery_completed, and the
scheduler of the consumer (`ChangelogDispatcher`), which hands over a fetch as it comes.
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
_NOTHING = -1


def _raise(error: BaseException) -> None:
    raise error


class Change(NamedTuple):
    """A record of a changelog; to a store and to a table, its event and its message at once.

    Attributes:
        tp: Topic and partition, as Faust has them.
        offset: Where it stands.
        key: The record's, as bytes.
        value: The record's; None = deleted.
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
        """The topic's name."""
        return self.tp.topic

    @property
    def partition(self) -> int:
        """Counted from 0."""
        return self.tp.partition


class ChangelogDispatcher:
    """Hands fetched changelogs to the recovery; other topics go through Faust's own scheduler."""

    def __init__(self, consumer: OffsetTrackingConsumer, rest: Any) -> None:
        self._consumer = consumer
        self._rest = rest

    def iterate(self, records: Mapping[TP, Sequence[Any]]) -> Iterator[tuple[TP, Any]]:
        """Take the changelogs; return the records of other topics."""
        tables: Any = self._consumer.app.tables
        rest = {}
        for topic_partition, found in records.items():
            # aiokafka's TopicPartition is equal to Faust's TP, but Faust insists on its own.
            tp = TP(*topic_partition)
            if tp.topic in tables.changelog_topics:
                tables.recovery.take(tp, found)
            else:
                rest[tp] = found
        left: Iterator[tuple[TP, Any]] = self._rest.iterate(rest)
        return left


class TableRecovery(Recovery):
    """Faust's recovery, but for how records come to the table.

    When it begins, ends, is begun anew and which offsets it is from and to is Faust's.
    """

    # A batch each: what is left is told every few seconds in the log.
    num_samples_required_for_estimate = _SAMPLES

    def take(self, tp: TP, records: Sequence[Any]) -> None:
        """Take what was fetched of a changelog's partition into its table.

        Args:
            tp: Topic and partition; what is neither active nor a standby here is passed over.
            records: As aiokafka has them, in the order of their offsets.
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
            # Only now: had the store failed, the batch would count as read.
            offsets[tp] = news[-1].offset
            self._last_flush_at = began
        if is_active:
            self._active_events_received_at[tp] = began
            self._sample(began, len(records))
        self._tell_if_done()

    def _sample(self, now: float, records: int) -> None:
        since, self._last_active_event_processed_at = self._last_active_event_processed_at, now
        if since is not None and records:
            self._processing_times.append((now - since) / records)
            if len(self._processing_times) > self.num_samples_required_for_estimate:
                self._processing_times.popleft()

    def _tell_if_done(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()
        if not self.tables.standbys_ready and not any(
            end > (self.standby_offsets.get(tp) or _NOTHING)
            for tp, end in self.standby_highwaters.items()
        ):
            self.tables.on_standbys_ready()

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Let the agents run, unless a table is unusable: then the worker ends."""
        # Faust ignores an error of a table's own callback.
        for table in self.tables.values():
            error = await cast("ChangelogTable", table).why_unusable()
            if error is not None:
                # In a callback: raised here it would be logged as a crash of the recovery.
                exits = cast("HooksealApp", self.app).refused(error)
                asyncio.get_running_loop().call_soon(_raise, exits)
                await asyncio.Event().wait()
        await super().on_recovery_completed(generation_id)

    def _set_recovery_started(self) -> None:
        # Here, and not with each record: it stays set until somebody has waited for it.
        self.signal_recovery_end.clear()
        super()._set_recovery_started()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing comes through the queue."""
