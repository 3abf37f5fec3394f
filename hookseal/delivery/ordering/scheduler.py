"""One FIFO queue per ordering key: schedules the records of one partition."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hookseal.delivery.ordering.partition import PartitionStoppedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence

    from hookseal.delivery.ordering.offsets import OffsetTracker
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.endpoint import Ordering
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record

# Larger records have a limit on their bytes. The others need no accounting.
_LARGE_BYTES = 16 * 1024
_LARGE_MAX_BYTES = 16 * 1024 * 1024
_LOOK_AGAIN_S = 0.5
# Of the window, the events of one customer fill at most this part.
_SHARE = 4
# Records beyond the limit of their queue or their customer: they wait only to be deferred.
_EXCESS_MAX_BYTES = 64 * 1024 * 1024
_EXCESS_EACH_MAX_BYTES = 16 * 1024 * 1024
# The task, the queue and the objects of one such record.
_EXCESS_OVERHEAD_BYTES = 2048
# A customer is behind if its event waits this long, and its queue is full, its records are most of
# the excess, and a record of another customer was read within the second time; or if it exceeds
# its bytes.
_BEHIND_S = 5.0
_NEIGHBOUR_S = 60.0
_HOLDS_S = 60.0
# Events are deferred in one write if more than this wait behind a deferred one.
_LONG_QUEUE = 8
_DEFERRED_AT_ONCE = 500


IN_SEQUENCE = "partition"
"""The queue of a record that is done before the next one is submitted."""


class Part(NamedTuple):
    """The deliveries of an event that wait in one queue.

    Attributes:
        customer_id: Whose endpoints; empty = the whole record.
        endpoint_ids: None = those that subscribe when the part starts; empty = the tenant was
            disabled when the event was read.
        ordering: The mode of these endpoints; None = the operator's.
        beside: Endpoints that have parts of their own.
    """

    event: Event
    customer_id: str
    endpoint_ids: tuple[str, ...] | None = None
    ordering: Ordering | None = None
    beside: frozenset[tuple[str, str]] = frozenset()


class OrderingKey(NamedTuple):
    """A queue, and what of the record waits in it.

    Attributes:
        customer: The customer id, as the key of the record.
        part: None = the whole record.
    """

    queue: Hashable
    customer: bytes | None = None
    part: Part | None = None


class Pressure(Protocol):
    """Called, repeatedly, while records wait for capacity."""

    def queue_full(
        self, ordering_key: OrderingKey, context: PartitionContext, *, at_once: bool
    ) -> None:
        """A queue is over its limit; `at_once`: its customer is behind, or uses much memory."""

    def cut_off(self, context: PartitionContext) -> None:
        """No memory is left for records that wait to be deferred."""

    def held(self, customer: bytes, context: PartitionContext) -> None:
        """A customer held the sequence of a partition for too long, while events waited."""

    def window_full(self, length: Callable[[str], int], context: PartitionContext) -> None:
        """The partition reached its limit; `length` counts the records of a customer."""


if TYPE_CHECKING:
    Queues = Mapping[Hashable, deque[tuple[Record, OrderingKey]]]
    Defer = Callable[[Sequence[tuple[Record, OrderingKey]], PartitionContext], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per partition.

    Attributes:
        events: Events in progress; 1 = the next record is submitted when the last one is done.
        waiting: Events behind the one in progress, per queue. Newer ones wait to be deferred.
        hold_s: Seconds of a minute that one customer may hold the sequence while events wait; 0 =
            no limit.
    """

    events: int
    waiting: int
    hold_s: float = 0.0


class PartitionScheduler:
    """Queues records in offset order; runs each when it is the first of its queues.

    Done offsets go to the `OffsetTracker` in any order. No queue delays the others: records beyond
    `Limits.waiting` are queued as excess until their endpoint is suspended, and deferred then.
    """

    def __init__(
        self,
        context: PartitionContext,
        *,
        tracker: OffsetTracker,
        work: Callable[[Record, PartitionContext, Part | None], Awaitable[None]],
        ordering_keys: Callable[[Record, Queues], Iterable[OrderingKey]],
        limits: Limits,
        now: Callable[[], float],
        pressure: Pressure | None = None,
        defer: Defer | None = None,
        beside: PartitionContext | None = None,
    ) -> None:
        """Schedule on behalf of one partition.

        Args:
            work: Called with the record, the context, and the part that is handled (None = all of
                it). Returns once that part is done; raises `PartitionStoppedError` if the
                partition stops first.
            ordering_keys: Called with the record and the queues in use. Returns the keys of a
                record, `IN_SEQUENCE` first; none if there is nothing to do.
            now: Seconds of any monotonic clock.
            defer: Called with records of one queue. Defers as many as possible of the first ones,
                and returns their number.
            beside: The context of what runs beside the sequence, so that neither takes the permits
                of the other; None = the same.
        """
        self.context = context
        self.beside = beside or context
        self.next_offset = tracker.low_watermark
        self._tracker = tracker
        self._work = work
        self._defer = defer
        self._ordering_keys = ordering_keys
        self._limits = limits
        self._share = max(1, limits.events // _SHARE)
        self._now = now
        self._pressure = pressure
        self._queues: dict[Hashable, deque[tuple[Record, OrderingKey]]] = {}
        self._left: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._large: dict[int, int] = {}
        self._large_bytes = 0
        # Records per customer in the window, and bytes per customer beyond it.
        self._counts: Counter[bytes | None] = Counter()
        self._excess: dict[int, int] = {}
        self._excess_bytes: Counter[bytes | None] = Counter()
        self._excess_total = 0
        # Seconds of this minute in which the events of each customer held the sequence.
        self._holds: dict[bytes, float] = {}
        self._holds_until = 0.0
        self._last_key: bytes | None = None
        self._neighbour_at = -_NEIGHBOUR_S
        self._watch: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def contexts(self) -> set[PartitionContext]:
        """The contexts of the running events."""
        return {self.context, self.beside}

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
        self._since[record.offset] = now = self._now()
        if record.key != self._last_key:
            if self._last_key is not None:
                self._neighbour_at = now
            self._last_key = record.key
        ordering_keys = list(self._ordering_keys(record, self._queues))
        if not ordering_keys:
            self._finish(record.offset)
            return
        first = ordering_keys[0]
        if first.queue is not IN_SEQUENCE:
            await self._enqueue_all(record, ordering_keys)
            return
        is_divided = len(ordering_keys) > 1
        began = now
        if is_divided:
            await self._enqueue_all(record, ordering_keys)
            began = self._now()
        await self._work(record, self.context, first.part)
        if is_divided:
            self._part_done(record)
        else:
            self._finish(record.offset)
        self._count_hold(record, began)

    def stop(self) -> None:
        """Start no further event; running ones may end."""
        self.context.stop()
        self.beside.stop()
        if self._watch is not None:
            self._watch.cancel()
        self._changed.set()

    async def ended(self) -> None:
        """Wait until no event runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cancel the running events."""
        for task in self._tasks:
            task.cancel()

    async def _enqueue_all(self, record: Record, ordering_keys: list[OrderingKey]) -> None:
        while not self._has_room(record, ordering_keys):
            self._changed.clear()
            with suppress(TimeoutError):
                # Checked again without a change, too: a slow delivery causes none.
                await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
            self._check()
        self._left[record.offset] = len(ordering_keys)
        for ordering_key in ordering_keys:
            if ordering_key.queue is not IN_SEQUENCE:
                self._enqueue(record, ordering_key)

    def _count_hold(self, record: Record, began: float) -> None:
        """Report a customer that held the sequence for too long while events waited.

        Events wait if this one did: from its timestamp until it began. A timestamp far in the
        future tells nothing.
        """
        ended = self._now()
        if ended >= self._holds_until:
            self._holds.clear()
            self._holds_until = ended + _HOLDS_S
        if record.key is None:
            return
        held = self._holds[record.key] = self._holds.get(record.key, 0.0) + ended - began
        if held <= self._limits.hold_s or not self._limits.hold_s or self._pressure is None:
            return
        waited = began - record.timestamp_ms / 1000
        if not -_HOLDS_S < waited < _BEHIND_S:
            del self._holds[record.key]
            self._pressure.held(record.key, self.context)

    def _check(self) -> None:
        if self._failure is not None:
            # Its queue is blocked. The caller starts again with a new scheduler.
            raise self._failure
        if self.context.stopped:
            raise PartitionStoppedError

    def _has_room(self, record: Record, ordering_keys: list[OrderingKey]) -> bool:
        """Account for the record if it fits: in the window, or as excess."""
        key = record.key
        # The first event of a queue is in progress and does not wait.
        is_full = any(self._length(one) > self._limits.waiting for one in ordering_keys)
        if not is_full and self._counts[key] < self._share:
            in_window = len(self._left) - len(self._excess)
            if in_window >= self._limits.events or self._large_bytes > _LARGE_MAX_BYTES:
                if self._pressure is not None:
                    self._pressure.window_full(self._count_of, self.context)
                return False
            self._counts[key] += 1
            if (size := record.size) > _LARGE_BYTES:
                self._large[record.offset] = size
                self._large_bytes += size
            return True
        excess = record.size + _EXCESS_OVERHEAD_BYTES
        if self._excess_total + excess > _EXCESS_MAX_BYTES:
            if self._pressure is not None:
                self._pressure.cut_off(self.context)
            return False
        self._excess[record.offset] = excess
        self._excess_bytes[key] += excess
        self._excess_total += excess
        if self._watch is None and self._pressure is not None:
            self._watch_excess(self._pressure)
        return True

    def _watch_excess(self, pressure: Pressure) -> None:
        """Report, until no excess is left, queues over their limit and customers that are behind.

        The next failed attempt, or the time alone, can make an endpoint one that blocks.
        """
        if not self._excess:
            self._watch = None
            return
        for queue in self._queues.values():
            record, ordering_key = queue[0]
            is_full = len(queue) > self._limits.waiting
            is_behind = self._is_behind(record, is_full=is_full)
            if is_full or is_behind:
                pressure.queue_full(ordering_key, self.context, at_once=is_behind)
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(_LOOK_AGAIN_S, self._watch_excess, pressure)

    def _is_behind(self, first: Record, *, is_full: bool) -> bool:
        excess, now = self._excess_bytes[first.key], self._now()
        is_late = now - self._since[first.offset] >= _BEHIND_S
        if excess > _EXCESS_EACH_MAX_BYTES:
            return is_late or self._excess_total > _EXCESS_MAX_BYTES // 2
        has_neighbour = now - self._neighbour_at < _NEIGHBOUR_S
        return is_full and is_late and has_neighbour and 2 * excess > self._excess_total

    def _length(self, ordering_key: OrderingKey) -> int:
        return len(self._queues.get(ordering_key.queue, ()))

    def _count_of(self, customer_id: str) -> int:
        return self._counts[customer_id.encode()]

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
                await self._work(record, self.beside, ordering_key.part)
                done = 1
                if self._defer is not None and len(queue) > _LONG_QUEUE:
                    following = list(islice(queue, 1, 1 + _DEFERRED_AT_ONCE))
                    done += await self._defer(following, self.beside)
            except PartitionStoppedError:
                return
            for _ in range(done):
                self._part_done(queue.popleft()[0])
            self._changed.set()
        if not queue:
            del self._queues[name]

    def _part_done(self, record: Record) -> None:
        offset = record.offset
        self._left[offset] -= 1
        if self._left[offset]:
            return
        del self._left[offset]
        excess = self._excess.pop(offset, None)
        if excess is None:
            _subtract(self._counts, record.key, 1)
        else:
            self._excess_total -= excess
            _subtract(self._excess_bytes, record.key, excess)
        self._finish(offset)

    def _finish(self, offset: int) -> None:
        self._since.pop(offset, None)
        self._large_bytes -= self._large.pop(offset, 0)
        self._tracker.mark_done(offset)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._changed.set()


def _subtract(counter: Counter[bytes | None], key: bytes | None, amount: int) -> None:
    """Forget a key with nothing left: there may be many customers."""
    counter[key] -= amount
    if not counter[key]:
        del counter[key]
