"""The queue between the thread that fetches and an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mode.utils.queues import ThrowableQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faust.types import TP

    from hookseal.domain.record import Record

__all__ = ["Arrival", "Inbox"]


class Arrival(NamedTuple):
    """A record as it was fetched.

    Attributes:
        generation_id: Of the group, when it was.
        tp: Topic and partition, as Faust has them.
        record: The record.
    """

    generation_id: int
    tp: TP
    record: Record


class Inbox(ThrowableQueue[Any]):
    """Faust's queue, filled with a batch at a time, and emptied without its detours.

    When it is nearly full its partition is fetched no more, and again when it is nearly
    empty, as Faust's is; a batch always fits in.
    """

    def take(
        self, batch: Sequence[Arrival], *, when_full: Callable[[], None], again: Callable[[], None]
    ) -> None:
        """Add records of one partition.

        Args:
            batch: At least one.
            when_full: Called if there is little room left.
            again: Called once there is room again; the same for the same partition.
        """
        self._queue.extend(batch)  # type: ignore[attr-defined]
        if self.in_pressure_high_state(again):
            when_full()
        self._wakeup_next(self._getters)  # type: ignore[attr-defined]

    async def next(self) -> Any:
        """Wait for the next."""
        if self._errors or not self._queue:  # type: ignore[attr-defined]
            return await self.get()
        if self._pending_pressure_drop_callbacks:
            self.maybe_endorse_pressure_drop()
        return self._queue.popleft()  # type: ignore[attr-defined]
