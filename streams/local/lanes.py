"""Feeds the lanes of each partition from a store, and lets them go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hookseal.delivery.lane import Lane, LaneStoppedError
from hookseal.delivery.lanes import Lanes, Progress
from hookseal.delivery.lanes.turns import turns_of
from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from typing import Any

    from agents.deliver import Deliver
    from hookseal.delivery.lane import Gate
    from hookseal.delivery.lanes import Limits, Pressure
    from hookseal.delivery.lanes.turns import Ordering
    from hookseal.delivery.ports import Clock, Observer
    from hookseal.local.store import Store

__all__ = ["StoreLanes"]

_AT_A_TIME = 100
_WAIT_S = 1.0
_STORE_PAUSE_S = 0.5
_CRASH_PAUSE_S = 1.0
_SETTLE_S = 0.05


class _Finished(Progress):
    """What is finished, and what of it the store was not told yet."""

    def __init__(self) -> None:
        super().__init__()
        self.untold: list[int] = []
        self.is_news = asyncio.Event()

    def finish(self, offset: int) -> None:
        """Note that one event is finished."""
        super().finish(offset)
        self.untold.append(offset)
        self.is_news.set()


class _Line:
    """What runs for one partition."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.progress = _Finished()
        self.lanes: Lanes | None = None
        self.tasks: list[asyncio.Task[None]] = []


class StoreLanes:
    """Runs the agent `deliver` for each partition that this process holds."""

    def __init__(
        self,
        *,
        store: Store,
        deliver: Deliver,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        gate: Callable[[int], Gate],
        observer: Observer,
        clock: Clock,
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._catch_up = catch_up
        self._gate = gate
        self._observer = observer
        self._clock = clock
        self._turns = turns_of(ordering, deliver)
        self._limits = limits
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._lines: dict[int, _Line] = {}

    def start(self, partition: int) -> None:
        """Begin on a partition, with the first event that is not finished."""
        line = self._lines[partition] = _Line(partition)
        line.tasks = [
            asyncio.create_task(self._run(line)),
            asyncio.create_task(self._keep_telling(line)),
        ]

    async def stop(self, partitions: Collection[int] | None = None) -> None:
        """Let go of these partitions, or of all, side by side.

        A running attempt may end within the grace time, and what it finishes counts; a
        backoff is cut at once, and its event stays in the store.
        """
        going = set(self._lines) if partitions is None else set(partitions) & set(self._lines)
        await asyncio.gather(*(self._end(self._lines.pop(one)) for one in going))

    def report(self) -> None:
        """Tell how much is in hand, for each partition."""
        for line in self._lines.values():
            if line.lanes is not None:
                self._observer.in_hand(
                    line.partition,
                    attempts=line.lanes.lane.in_flight,
                    lines=line.lanes.lines,
                    oldest_s=line.lanes.oldest_s,
                )

    async def _run(self, line: _Line) -> None:
        while True:
            line.lanes = lanes = self._lanes(line)
            try:
                await self._feed(line, lanes)
            except LaneStoppedError:
                return
            except Exception as error:  # noqa: BLE001
                # A fault of ours must not stop the partition for good: what is not finished
                # is read again.
                self._observer.crashed("", error)
                lanes.stop()
                await lanes.ended()
                await self._clock.sleep(_CRASH_PAUSE_S)

    async def _feed(self, line: _Line, lanes: Lanes) -> None:
        # What was changed before the first event must be seen by it.
        await lanes.lane.unless_stopped(self._catch_up(line.partition))
        after = -1
        while True:
            try:
                events = await self._store.events(line.partition, after, _AT_A_TIME, wait_s=_WAIT_S)
            except BrokerError:
                await lanes.lane.pause(_STORE_PAUSE_S)
                continue
            for event in events:
                await lanes.take(event)
                after = event.offset

    def _lanes(self, line: _Line) -> Lanes:
        return Lanes(
            Lane(
                line.partition,
                clock=self._clock,
                observer=self._observer,
                gate=self._gate(line.partition),
                at_a_time=self._at_a_time,
                each=self._each,
            ),
            progress=line.progress,
            work=self._deliver,
            turns=self._turns,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
        )

    async def _keep_telling(self, line: _Line) -> None:
        # At once, and whatever is finished meanwhile together: a kill repeats what was not told.
        while True:
            await line.progress.is_news.wait()
            line.progress.is_news.clear()
            if not await self._tell(line):
                await self._clock.sleep(_STORE_PAUSE_S)
                line.progress.is_news.set()

    async def _tell(self, line: _Line) -> bool:
        """Have the store forget what is finished; return whether it did."""
        untold, line.progress.untold = line.progress.untold, []
        if not untold:
            return True
        try:
            await self._store.finish(line.partition, untold)
        except BaseException as error:
            line.progress.untold = untold + line.progress.untold
            if not isinstance(error, BrokerError):
                raise
            return False
        return True

    async def _end(self, line: _Line) -> None:
        run, telling = line.tasks
        lanes = line.lanes
        if lanes is not None:
            lanes.stop()
        # With the order `partition` the feed itself is what delivers: it may end what it does.
        endings = [asyncio.ensure_future(lanes.ended())] if lanes is not None else []
        if lanes is not None and lanes.lane.in_flight:
            endings.append(asyncio.ensure_future(lanes.lane.quiet()))
        if endings:
            _, late = await asyncio.wait(endings, timeout=self._grace_s)
            if late and lanes is not None:
                lanes.cancel()
            for task in late:
                task.cancel()
        # What an attempt decided takes a few steps of the loop to be noted.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(run), _SETTLE_S)
        for task in (run, telling):
            task.cancel()
        await asyncio.wait((run, telling))
        await self._tell(line)
        self._observer.in_hand(line.partition, attempts=0, lines=0, oldest_s=0.0)
