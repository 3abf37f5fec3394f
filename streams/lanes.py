"""One lane per partition of `events`: takes a record, sees it done, says so, goes on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from hookseal.delivery.lane import Lane, LaneStoppedError
from streams.codecs import record_of
from streams.sequence import Sequence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from faust.types import TP, Message, StreamT

    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.record import Record
    from streams.consumer import FinishedConsumer
    from streams.order import Order

__all__ = ["EventLanes", "raw_events"]


class _Line:
    """What runs for one partition."""

    def __init__(self) -> None:
        self.tp: TP | None = None
        self.lane: Lane | None = None
        self.task: asyncio.Task[None] | None = None
        self.sequence = Sequence()


class EventLanes:
    """Runs the agent `deliver` for each partition that this worker holds."""

    def __init__(
        self,
        *,
        deliver: Callable[[Record, Lane], Awaitable[None]],
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        consumer: Callable[[], FinishedConsumer],
        observer: Observer,
        clock: Clock,
        order: Order,
        grace_s: float,
    ) -> None:
        self._deliver = deliver
        self._catch_up = catch_up
        self._consumer = consumer
        self._observer = observer
        self._clock = clock
        self._order = order
        self._grace_s = grace_s
        self._lines: set[_Line] = set()

    async def run(self, stream: StreamT[bytes]) -> None:
        """Be the agent of one partition, until the partition goes or the worker stops."""
        line = _Line()
        line.task = asyncio.create_task(self._work(stream, line))
        self._lines.add(line)
        try:
            await asyncio.shield(line.task)
        except asyncio.CancelledError:
            await self._end([line])
        finally:
            self._lines.discard(line)

    async def stop(self, partitions: Iterable[TP] | None = None) -> None:
        """Stop the lanes of these partitions, or all, side by side.

        A running attempt may end within the grace time, and what it finishes counts; a
        backoff is cut at once, and its event stays on the log for the next owner.
        """
        gone = None if partitions is None else set(partitions)
        await self._end([line for line in self._lines if gone is None or line.tp in gone])

    async def _work(self, stream: StreamT[bytes], line: _Line) -> None:
        async with aclosing(raw_events(stream)) as events:
            async for event in events:
                message = event.message
                start_known = self._consumer().start_known
                if line.sequence.is_new and not await start_known(message.tp):
                    continue
                finished = self._consumer().finished(message.tp)
                if not await self._order.admits(message, line.sequence, finished=finished):
                    continue
                if not await self._done(message, line):
                    return

    async def _done(self, message: Message, line: _Line) -> bool:
        """Handle the record; return whether to go on with the next."""
        line.lane = Lane(message.partition, clock=self._clock, observer=self._observer)
        try:
            if line.tp is None:
                # Commands that stand in front of the first event must be seen by it: a
                # tenant whose endpoint is not added yet would skip it.
                line.tp = message.tp
                await line.lane.unless_stopped(self._catch_up(message.partition))
            await self._deliver(record_of(message), line.lane)
        except LaneStoppedError:
            return False
        self._consumer().finish(message.tp, message.offset)
        stopped, line.lane = line.lane.stopped, None
        return not stopped

    async def _end(self, lines: list[_Line]) -> None:
        tasks: list[asyncio.Task[Any]] = []
        for line in lines:
            assert line.task is not None  # noqa: S101 - set before the line is reachable
            if line.lane is None:
                # It waits for a record: there is nothing to let end.
                line.task.cancel()
            else:
                line.lane.stop()
            tasks.append(line.task)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


def raw_events(stream: Any) -> Any:
    """Return the stream's events, none of which Faust acknowledges by itself."""
    # noack: by default Faust acknowledges an event whose handling was cancelled.
    return stream.noack().events()
