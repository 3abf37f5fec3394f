"""The queue between the fetch and an agent, filled a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.faust_patches.byte_pressure import ByteBoundedQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.fetched_record import FetchedRecord


class PartitionQueue(ByteBoundedQueue):
    """Faust's queue, filled a batch at a time, and emptied without its detours.

    When it is nearly full, its partition is not fetched until it is nearly empty. A batch always
    fits in.
    """

    def put_batch(
        self,
        batch: Sequence[FetchedRecord],
        *,
        when_full: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        """Add records of one partition.

        `when_full` is called if there is little room left, `again` once there is room again. It
        must be the same object for the same partition.
        """
        self._queue.extend(batch)  # type: ignore[attr-defined]
        self._bytes += sum(fetched.record.size for fetched in batch)
        if self.in_pressure_high_state(again):
            when_full()
        self._wakeup_next(self._getters)  # type: ignore[attr-defined]

    async def next(self) -> Any:
        """Wait for the next record."""
        if self._errors or not self._queue:  # type: ignore[attr-defined]
            return await self.get()
        if self._pending_pressure_drop_callbacks:
            self.maybe_endorse_pressure_drop()
        fetched = self._queue.popleft()  # type: ignore[attr-defined]
        self._bytes -= fetched.record.size
        return fetched
