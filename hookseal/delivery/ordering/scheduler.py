"""One FIFO queue per ordering key: schedules the records of one partition."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hookseal.delivery.ordering.partition import PartitionStoppedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable

    from hookseal.delivery.ordering.offsets import OffsetTracker
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.record import Record

# Larger records have a limit on their bytes. The others need no accounting.
_LARGE_BYTES = 16 * 1024
_LARGE_MAX_BYTES = 16 * 1024 * 1024
_LOOK_AGAIN_S = 0.5


class OrderingKey(NamedTuple):
    """A queue, and the customer whose part of the record it gets (None = all of it)."""

    queue: Hashable
    customer_id: str | None = None


class Pressure(Protocol):
    """Called, repeatedly, while a record waits for capacity."""

    def queue_full(self, queue: Hashable, context: PartitionContext) -> None:
        """A queue reached its limit."""

    def window_full(self, length: Callable[[Hashable], int], context: PartitionContext) -> None:
        """The partition reached its limit; `length` returns the length of a queue."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per partition.

    Attributes:
        events: Events in progress; 1 = the next record is submitted when the last one is done.
        waiting: Events behind the one in progress, per queue.
    """

    events: int
    waiting: int


class PartitionScheduler:
    """Queues records in offset order; runs each when it is the first of its queues.

    Done offsets go to the `OffsetTracker` in any order. A queue that is blocked takes at most
    `Limits.waiting` events. The record after those waits, and the partition with it.
    """

    def __init__(
        self,
        context: PartitionContext,
        *,
        tracker: OffsetTracker,
        work: Callable[[Record, PartitionContext, str | None], Awaitable[None]],
        ordering_keys: Callable[[Record], Iterable[OrderingKey]],
        limits: Limits,
        now: Callable[[], float],
        pressure: Pressure | None = None,
    ) -> None:
        """Schedule on behalf of one partition.

        Args:
            work: Called with the record, the context, and the customer whose part of the record is
                handled (None = all of it). Returns once that part is done; raises
                `PartitionStoppedError` if the partition stops first.
            ordering_keys: Returns the keys of a record; none if there is nothing to do.
            now: Seconds of any monotonic clock.
        """
        self.context = context
        self.next_offset = tracker.low_watermark
        self._tracker = tracker
        self._work = work
        self._ordering_keys = ordering_keys
        self._limits = limits
        self._now = now
        self._pressure = pressure
        self._queues: dict[Hashable, deque[tuple[Record, OrderingKey]]] = {}
        self._left: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._large: dict[int, int] = {}
        self._large_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def queues(self) -> int:
        """Queues with at least one event."""
        return len(self._queues)

    @property
    def oldest_s(self) -> float:
        """Age in seconds of the oldest event in progress; 0 = none."""
        return max(0.0, self._now() - next(iter(self._since.values()))) if self._since else 0.0

    async def submit(self, record: Record) -> None:
        """Queue the next record; return once the one after it may be submitted.

        Raises:
            PartitionStoppedError: The partition stopped; the record may not be done.
        """
        self._check()
        # The log may have offsets without a record.
        self._tracker.mark_range_done(self.next_offset, record.offset)
        self.next_offset = record.offset + 1
        if record.offset in self._tracker:
            return
        self._since[record.offset] = self._now()
        if self._limits.events == 1:
            await self._work(record, self.context, None)
            self._finish(record.offset)
            return
        ordering_keys = list(self._ordering_keys(record))
        if not ordering_keys:
            self._finish(record.offset)
            return
        await self._room_for(ordering_keys)
        self._left[record.offset] = len(ordering_keys)
        if (size := record.size) > _LARGE_BYTES:
            self._large[record.offset] = size
            self._large_bytes += size
        for ordering_key in ordering_keys:
            self._enqueue(record, ordering_key)

    def stop(self) -> None:
        """Start no further event; running ones may end."""
        self.context.stop()
        self._changed.set()

    async def ended(self) -> None:
        """Wait until no event runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cancel the running events."""
        for task in self._tasks:
            task.cancel()

    async def _room_for(self, ordering_keys: list[OrderingKey]) -> None:
        while not self._has_room(ordering_keys):
            self._changed.clear()
            with suppress(TimeoutError):
                # Checked again without a change, too: a slow delivery causes none.
                await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
            self._check()

    def _check(self) -> None:
        if self._failure is not None:
            # Its queue is blocked. The caller starts again with a new scheduler.
            raise self._failure
        if self.context.stopped:
            raise PartitionStoppedError

    def _has_room(self, ordering_keys: list[OrderingKey]) -> bool:
        if len(self._left) >= self._limits.events or self._large_bytes > _LARGE_MAX_BYTES:
            if self._pressure is not None:
                self._pressure.window_full(self._length, self.context)
            return False
        # The first event of a queue is in progress and does not wait.
        full = [
            key.queue for key in ordering_keys if self._length(key.queue) > self._limits.waiting
        ]
        if self._pressure is not None:
            for queue in full:
                self._pressure.queue_full(queue, self.context)
        return not full

    def _length(self, queue: Hashable) -> int:
        return len(self._queues.get(queue, ()))

    def _enqueue(self, record: Record, ordering_key: OrderingKey) -> None:
        queue = self._queues.get(ordering_key.queue)
        if queue is not None:
            queue.append((record, ordering_key))
            return
        self._queues[ordering_key.queue] = queue = deque([(record, ordering_key)])
        task = asyncio.create_task(self._run(ordering_key.queue, queue))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, name: Hashable, queue: deque[tuple[Record, OrderingKey]]) -> None:
        while queue and not self.context.stopped:
            record, ordering_key = queue[0]
            try:
                await self._work(record, self.context, ordering_key.customer_id)
            except PartitionStoppedError:
                return
            queue.popleft()
            self._left[record.offset] -= 1
            if self._left[record.offset] == 0:
                del self._left[record.offset]
                self._finish(record.offset)
            self._changed.set()
        if not queue:
            del self._queues[name]

    def _finish(self, offset: int) -> None:
        self._since.pop(offset, None)
        self._large_bytes -= self._large.pop(offset, 0)
        self._tracker.mark_done(offset)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._changed.set()
