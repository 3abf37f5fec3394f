"""Stop fetching a partition when its queue is full by bytes, too.

Symptom: the queue of a stream counts records. With records of a megabyte, 80 % of 1,024 records is
800 MB per partition before Faust stops fetching it.
Patches: FlowControlQueue.in_pressure_high_state, .maybe_endorse_pressure_drop, ._put, ._get, and
ThrowableQueue.clear (mode).
Test: tests/unit/streams/test_byte_pressure.py, test_partition_queue.py.
Drop when: a mode release bounds a queue by the size of its items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mode.utils.queues import ThrowableQueue

if TYPE_CHECKING:
    from collections.abc import Callable

_PRESSURE_BYTES = 8 * 1024 * 1024


class ByteBoundedQueue(ThrowableQueue[Any]):
    """A queue that is nearly full at 80 % of its records or at 8 MiB, whichever comes first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bytes = 0

    def in_pressure_high_state(self, callback: Callable[..., Any]) -> bool:
        """Return whether fetching must stop; `callback` is called once there is room again."""
        if super().in_pressure_high_state(callback):
            return True
        pending = self._pending_pressure_drop_callbacks
        if self._bytes <= _PRESSURE_BYTES or callback in pending:
            return False
        pending.add(callback)
        return True

    def maybe_endorse_pressure_drop(self) -> None:
        """Resume the fetches of the partition once there is room for bytes, too."""
        if self._bytes <= _PRESSURE_BYTES * self.pressure_drop_ratio:
            super().maybe_endorse_pressure_drop()

    def clear(self) -> None:
        """Drop all records."""
        super().clear()
        self._bytes = 0

    def _put(self, item: Any) -> None:
        self._bytes += size_of(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= size_of(item)
        return item


def size_of(item: Any) -> int:
    """Return about how many bytes a fetched record, or Faust's event of one, takes in memory."""
    record = getattr(getattr(item, "message", item), "record", None)
    return 0 if record is None else int(record.size)
