"""The queue between the thread that fetches and an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mode.utils.queues import ThrowableQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faust.types import TP

    from hookseal.domain.record import Record

__all__ = ["FetchedRecord", "PartitionQueue"]


class FetchedRecord(NamedTuple):
    """A record as it was fetched.

    Attributes:
        generation_id: Of the group, when it was.
        tp: Topic and partition, as Faust has them.
        record: The record.
    """

    generation_id: int
    tp: TP
    record: Record


# Beside the number of records: some records are a megabyte large.
_PRESSURE_BYTES = 8 * 1024 * 1024


class PartitionQueue(ThrowableQueue[Any]):
    """Faust's queue, filled a batch at a time, and emptied without its detours.

    When it is nearly full, by records or by bytes, its partition is not fetched until it is
    nearly empty; a batch always fits in.
    """

    _bytes = 0

    def put_batch(
        self,
        batch: Sequence[FetchedRecord],
        *,
        when_full: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        """Add records of one partition.

        Args:
            batch: At least one.
            when_full: Called if there is little room left.
            again: Called once there is room again; the same for the same partition.
        """
        self._queue.extend(batch)  # type: ignore[attr-defined]
        self._bytes += sum(arrival.record.size for arrival in batch)
        pending = self._pending_pressure_drop_callbacks
        if self.in_pressure_high_state(again):
            when_full()
        elif self._bytes > _PRESSURE_BYTES and again not in pending:
            pending.add(again)
            when_full()
        self._wakeup_next(self._getters)  # type: ignore[attr-defined]

    def maybe_endorse_pressure_drop(self) -> None:
        """Have the partition fetched again if there is room for more bytes, too."""
        if self._bytes <= _PRESSURE_BYTES * self.pressure_drop_ratio:
            super().maybe_endorse_pressure_drop()

    def clear(self) -> None:
        """Drop all records."""
        super().clear()
        self._bytes = 0

    async def next(self) -> Any:
        """Wait for the next."""
        if self._errors or not self._queue:  # type: ignore[attr-defined]
            arrival = await self.get()
        else:
            if self._pending_pressure_drop_callbacks:
                self.maybe_endorse_pressure_drop()
            arrival = self._queue.popleft()  # type: ignore[attr-defined]
        self._bytes -= arrival.record.size
        return arrival
