"""Runs the events of one partition, each in its turn."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hookseal.delivery.lane import LaneStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from hookseal.delivery.lane import Lane
    from hookseal.delivery.lanes.progress import Progress
    from hookseal.domain.record import Record

__all__ = ["Lanes", "Limits", "Pressure", "Turn", "Work"]


# Records of more bytes count against a bound of their own, so that the others cost no look.
_LARGE_BYTES = 16 * 1024
_LARGE_MAX_BYTES = 16 * 1024 * 1024
_LOOK_AGAIN_S = 0.5


class Turn(NamedTuple):
    """One place in one line.

    Attributes:
        line: Whoever has the same goes one after the other.
        customer_id: Whose part of the record it is; None = all of it.
    """

    line: Hashable
    customer_id: str | None = None


class Work(Protocol):
    """What is done with a record."""

    async def __call__(self, record: Record, lane: Lane, customer_id: str | None = None) -> None:
        """Return once the record, or one customer's part of it, is dealt with for good.

        Raises:
            LaneStoppedError: The lane stopped before that.
        """
        ...


class Pressure(Protocol):
    """Hears when a record has to wait for room; told again with each change."""

    def line_full(self, line: Hashable, lane: Lane) -> None:
        """A line takes no more."""
        ...

    def window_full(self, length: Callable[[Hashable], int], lane: Lane) -> None:
        """So much is in hand that no line gets anything; tells how long a line is."""
        ...


class _NoPressure:
    def line_full(self, line: Hashable, lane: Lane) -> None:
        """Leave it."""

    def window_full(self, length: Callable[[Hashable], int], lane: Lane) -> None:
        """Leave it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a partition is in hand.

    Attributes:
        events: Taken and not finished; 1 = the next is taken when the last is finished.
        waiting: Behind the event in hand of one line.
    """

    events: int
    waiting: int


class Lanes:
    """Takes records in the order of the log, and runs each when its lines are free.

    What is finished goes to the `Progress`, in whatever order it is. A line that cannot go
    on takes no more than `Limits.waiting` events; the record behind those waits, and with
    it the partition.
    """

    def __init__(
        self,
        lane: Lane,
        *,
        progress: Progress,
        work: Work,
        turns: Callable[[Record], Iterable[Turn]],
        limits: Limits,
        now: Callable[[], float],
        pressure: Pressure | None = None,
    ) -> None:
        """Begin.

        Args:
            lane: Shared by all that runs.
            progress: Told what is finished, and asked what is already.
            work: Done in each turn.
            turns: The record's places, at least one unless there is nothing to do.
            limits: See there.
            now: Seconds, of any clock that goes on.
            pressure: Hears when there is no room.
        """
        self.lane = lane
        self.next_offset = progress.mark
        self._progress = progress
        self._work = work
        self._turns = turns
        self._limits = limits
        self._now = now
        self._pressure: Pressure = pressure or _NoPressure()
        self._lines: dict[Hashable, deque[tuple[Record, Turn]]] = {}
        self._left: dict[int, int] = {}
        self._since: dict[int, float] = {}
        self._large: dict[int, int] = {}
        self._large_bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def lines(self) -> int:
        """Lines with at least one event."""
        return len(self._lines)

    @property
    def oldest_s(self) -> float:
        """Seconds for which the event that was taken first is in hand; 0 = there is none."""
        return max(0.0, self._now() - next(iter(self._since.values()))) if self._since else 0.0

    async def take(self, record: Record) -> None:
        """Take the next record of the log; return when the one behind it may come.

        Raises:
            LaneStoppedError: The lane stopped; the record may not be done.
        """
        self._check()
        # Where the log has a hole there is nothing to do.
        self._progress.finish_range(self.next_offset, record.offset)
        self.next_offset = record.offset + 1
        if record.offset in self._progress:
            return
        self._since[record.offset] = self._now()
        if self._limits.events == 1:
            await self._work(record, self.lane)
            self._finish(record.offset)
            return
        turns = list(self._turns(record))
        if not turns:
            self._finish(record.offset)
            return
        await self._room_for(turns)
        self._left[record.offset] = len(turns)
        if (size := record.size) > _LARGE_BYTES:
            self._large[record.offset] = size
            self._large_bytes += size
        for turn in turns:
            self._queue(record, turn)

    def stop(self) -> None:
        """Start nothing more; what runs may end."""
        self.lane.stop()
        self._changed.set()

    async def ended(self) -> None:
        """Wait until nothing runs any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cut off what still runs."""
        for task in self._tasks:
            task.cancel()

    async def _room_for(self, turns: list[Turn]) -> None:
        while not self._has_room(turns):
            self._changed.clear()
            with suppress(TimeoutError):
                # Asked again without a change, too: what is only slow changes nothing.
                await asyncio.wait_for(self._changed.wait(), _LOOK_AGAIN_S)
            self._check()

    def _check(self) -> None:
        if self._failure is not None:
            # Its line stands still. Whoever feeds us begins anew, from what is finished.
            raise self._failure
        if self.lane.stopped:
            raise LaneStoppedError

    def _has_room(self, turns: list[Turn]) -> bool:
        if len(self._left) >= self._limits.events or self._large_bytes > _LARGE_MAX_BYTES:
            self._pressure.window_full(self._length, self.lane)
            return False
        # The first of a line is in hand and does not wait.
        most = self._limits.waiting + 1
        full = [turn.line for turn in turns if self._length(turn.line) >= most]
        for line in full:
            self._pressure.line_full(line, self.lane)
        return not full

    def _length(self, line: Hashable) -> int:
        return len(self._lines.get(line, ()))

    def _queue(self, record: Record, turn: Turn) -> None:
        line = self._lines.get(turn.line)
        if line is not None:
            line.append((record, turn))
            return
        self._lines[turn.line] = line = deque([(record, turn)])
        task = asyncio.create_task(self._run(turn.line, line))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _run(self, name: Hashable, line: deque[tuple[Record, Turn]]) -> None:
        while line and not self.lane.stopped:
            record, turn = line[0]
            try:
                await self._work(record, self.lane, turn.customer_id)
            except LaneStoppedError:
                return
            line.popleft()
            self._left[record.offset] -= 1
            if self._left[record.offset] == 0:
                del self._left[record.offset]
                self._finish(record.offset)
            self._changed.set()
        if not line:
            del self._lines[name]

    def _finish(self, offset: int) -> None:
        self._since.pop(offset, None)
        self._large_bytes -= self._large.pop(offset, 0)
        self._progress.finish(offset)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
        self._changed.set()
