from __future__ import annotations

import asyncio

import pytest

from hookseal.delivery.lane import Lane, LaneStoppedError
from tests.fakes import FakeClock, RecordingObserver, StuckClock


class TestLane:
    async def test_holds_for_the_seconds_asked(self) -> None:
        clock = FakeClock()
        lane = Lane(0, clock=clock, observer=RecordingObserver())

        await lane.hold(30)

        assert clock.slept == [30]

    async def test_says_while_it_holds(self) -> None:
        clock, observer = StuckClock(), RecordingObserver()
        lane = Lane(3, clock=clock, observer=observer)

        holding = asyncio.create_task(lane.hold(30))
        await clock.asleep.wait()
        assert observer.in_backoff == {3}
        lane.stop()

        with pytest.raises(LaneStoppedError):
            await holding
        assert observer.in_backoff == set()

    async def test_told_to_stop_lets_go_of_a_hold_at_once(self) -> None:
        clock = StuckClock()
        lane = Lane(0, clock=clock, observer=RecordingObserver())
        holding = asyncio.create_task(lane.hold(3600))
        await clock.asleep.wait()

        lane.stop()

        with pytest.raises(LaneStoppedError):
            await asyncio.wait_for(holding, 1)

    async def test_stopped_starts_nothing_new(self) -> None:
        clock = FakeClock()
        lane = Lane(0, clock=clock, observer=RecordingObserver())
        lane.stop()

        with pytest.raises(LaneStoppedError):
            lane.go_on()
        with pytest.raises(LaneStoppedError):
            await lane.hold(1)
        assert clock.slept == []

    async def test_cancelled_leaves_no_task_behind(self) -> None:
        clock = StuckClock()
        lane = Lane(0, clock=clock, observer=RecordingObserver())
        holding = asyncio.create_task(lane.hold(3600))
        await clock.asleep.wait()

        holding.cancel()
        await asyncio.wait((holding,))

        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_what_it_waits_for_may_fail(self) -> None:
        lane = Lane(0, clock=FakeClock(), observer=RecordingObserver())

        async def fail() -> None:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError, match="boom"):
            await lane.unless_stopped(fail())
