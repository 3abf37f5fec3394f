"""The lanes of each partition of `events`: feeds them, and lets them go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.delivery.lane import Lane, LaneStoppedError
from hookseal.delivery.lanes import Lanes
from hookseal.delivery.lanes.turns import turns_of
from streams.arrivals import arrivals
from streams.sequence import Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from faust.types import TP, StreamT

    from hookseal.delivery.lanes import Limits, Pressure
    from hookseal.delivery.lanes.turns import Ordering
    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.record import Record
    from streams.consumer import FinishedConsumer
    from streams.order import Order

__all__ = ["EventLanes", "quiet"]

_SETTLE_S = 0.01


class Delivery(Protocol):
    """The agent: what is done with a record, and for whom it is."""

    def customers(self, record: Record) -> list[str] | None:
        """Return the customers of a broadcast; None for a record of one customer."""
        ...

    async def __call__(self, record: Record, lane: Lane, customer_id: str | None = None) -> None:
        """Return once the record, or one customer's part of it, is dealt with for good."""
        ...


class _Line:
    """What runs for one partition."""

    def __init__(self) -> None:
        self.tp: TP | None = None
        self.lanes: Lanes | None = None
        self.task: asyncio.Task[None] | None = None
        self.sequence = Sequence()
        self.waits_for_record = True
        self.is_ending = False

    async def ended(self) -> None:
        """Wait until neither the feed nor anything it fed runs any more."""
        assert self.task is not None  # noqa: S101 - set before the line is reachable
        await asyncio.wait((self.task,))
        if self.lanes is not None:
            await self.lanes.ended()


class EventLanes:
    """Runs the agent `deliver` for each partition that this worker holds."""

    def __init__(
        self,
        *,
        deliver: Delivery,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        consumer: Callable[[], FinishedConsumer],
        observer: Observer,
        clock: Clock,
        order: Order,
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self._deliver = deliver
        self._catch_up = catch_up
        self._consumer = consumer
        self._observer = observer
        self._clock = clock
        self._order = order
        self._turns = turns_of(ordering, deliver)
        self._limits = limits
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._lines: set[_Line] = set()

    async def run(self, stream: StreamT[bytes]) -> None:
        """Be the agent of one partition, until the partition goes or the worker stops."""
        line = _Line()
        line.task = asyncio.create_task(self._feed(stream, line))
        self._lines.add(line)
        try:
            await asyncio.shield(line.task)
        except asyncio.CancelledError:
            return
        finally:
            # Also when the feed failed: what it fed must not run beside its successor's.
            await self._end([line])
            self._lines.discard(line)
            if line.tp is not None:
                self._observer.in_hand(line.tp.partition, attempts=0, lines=0, oldest_s=0.0)

    async def stop(self, partitions: Iterable[TP] | None = None) -> None:
        """Stop the lanes of these partitions, or all, side by side.

        A running attempt may end within the grace time, and what it finishes counts; a
        backoff is cut at once, and its event stays on the log for the next owner.
        """
        gone = None if partitions is None else set(partitions)
        await self._end([line for line in self._lines if gone is None or line.tp in gone])

    async def begin_anew(self, partitions: Iterable[TP]) -> None:
        """Drop what is in hand of these partitions, and go on from what is committed.

        For a worker that the group took for dead: another one may have finished since what
        stands in its lanes, and it would deliver that again.
        """
        gone = set(partitions)
        dropped: list[Lanes] = []
        for line in self._lines:
            if line.tp in gone and line.lanes is not None:
                dropped.append(line.lanes)
                line.lanes, line.sequence = None, Sequence()
        for lanes in dropped:
            lanes.stop()
        endings = [asyncio.ensure_future(lanes.ended()) for lanes in dropped]
        if endings:
            _, late = await asyncio.wait(endings, timeout=self._grace_s)
            if late:
                for lanes in dropped:
                    lanes.cancel()
                await asyncio.wait(late)

    async def quiet(self, timeout_s: float) -> None:
        """Wait until no attempt is on the wire, up to so many seconds."""
        await quiet((line.lanes.lane for line in self._lines if line.lanes is not None), timeout_s)

    def forget(self, tp: TP) -> None:
        """Begin the partition anew: its log is another one."""
        for line in self._lines:
            if line.tp == tp and line.lanes is not None:
                line.lanes.next_offset = 0

    def report(self) -> None:
        """Tell how much is in hand, for each partition."""
        for line in self._lines:
            if line.tp is not None and line.lanes is not None:
                self._observer.in_hand(
                    line.tp.partition,
                    attempts=line.lanes.lane.in_flight,
                    lines=line.lanes.lines,
                    oldest_s=line.lanes.oldest_s,
                )

    async def _feed(self, stream: StreamT[bytes], line: _Line) -> None:
        async with aclosing(arrivals(stream)) as events:
            async for _, tp, record in events:
                if line.sequence.is_new and not await self._consumer().start_known(tp):
                    continue
                line.waits_for_record = False
                # Where the partition is begun anew the record is read again, if it is due.
                with suppress(LaneStoppedError):
                    await self._take(tp, record, line)
                if line.is_ending:
                    return
                line.waits_for_record = True

    async def _take(self, tp: TP, record: Record, line: _Line) -> None:
        lanes = await self._lanes_for(line, tp)
        # What an earlier owner committed may have become known meanwhile.
        due = max(lanes.next_offset, self._consumer().finished(tp))
        if await self._order.admits(tp, record, line.sequence, finished=due):
            await lanes.take(record)

    async def _lanes_for(self, line: _Line, tp: TP) -> Lanes:
        if line.lanes is not None:
            return line.lanes
        line.tp = tp
        line.lanes = lanes = Lanes(
            Lane(
                tp.partition,
                clock=self._clock,
                observer=self._observer,
                gate=self._consumer().membership,
                at_a_time=self._at_a_time,
                each=self._each,
            ),
            progress=self._consumer().progress(tp),
            work=self._deliver,
            turns=self._turns,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
        )
        # Commands that stand in front of the first event must be seen by it: a tenant whose
        # endpoint is not added yet would skip it.
        await lanes.lane.unless_stopped(self._catch_up(tp.partition))
        return lanes

    async def _end(self, lines: list[_Line]) -> None:
        for line in lines:
            assert line.task is not None  # noqa: S101 - set before the line is reachable
            line.is_ending = True
            if line.lanes is not None:
                line.lanes.stop()
            if line.waits_for_record:
                # There is nothing to let end but what it fed already.
                line.task.cancel()
        if not lines:
            return
        endings = [asyncio.ensure_future(line.ended()) for line in lines]
        _, late = await asyncio.wait(endings, timeout=self._grace_s)
        if late:
            for line in lines:
                if line.task is not None:
                    line.task.cancel()
                if line.lanes is not None:
                    line.lanes.cancel()
            await asyncio.wait(late)


async def quiet(lanes: Iterable[Lane], timeout_s: float) -> None:
    """Wait until no attempt of these lanes is on the wire, up to so many seconds."""
    waiting = [asyncio.ensure_future(lane.quiet()) for lane in lanes if lane.in_flight]
    if not waiting:
        return
    _, late = await asyncio.wait(waiting, timeout=timeout_s)
    for task in late:
        task.cancel()
    # What an attempt decided takes a few steps of the loop to be noted.
    await asyncio.sleep(_SETTLE_S)
