from __future__ import annotations

import asyncio

import pytest

from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from tests.fakes import FakeClock, FakeGate, RecordingObserver, StuckClock


class TestPartitionContext:
    async def test_holds_for_the_seconds_asked(self) -> None:
        clock = FakeClock()
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())

        await context.backoff(30)

        assert clock.slept == [30]

    async def test_says_while_it_holds(self) -> None:
        clock, observer = StuckClock(), RecordingObserver()
        context = PartitionContext(3, clock=clock, observer=observer)

        holding = asyncio.create_task(context.backoff(30))
        await clock.asleep.wait()
        assert observer.in_backoff == {3}
        context.stop()

        with pytest.raises(PartitionStoppedError):
            await holding
        assert observer.in_backoff == set()

    async def test_told_to_stop_lets_go_of_a_hold_at_once(self) -> None:
        clock = StuckClock()
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())
        holding = asyncio.create_task(context.backoff(3600))
        await clock.asleep.wait()

        context.stop()

        with pytest.raises(PartitionStoppedError):
            await asyncio.wait_for(holding, 1)

    async def test_stopped_starts_nothing_new(self) -> None:
        clock = FakeClock()
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())
        context.stop()

        with pytest.raises(PartitionStoppedError):
            await context.begin_attempt("acme")
        with pytest.raises(PartitionStoppedError):
            await context.backoff(1)
        assert clock.slept == []

    async def test_cancelled_leaves_no_task_behind(self) -> None:
        clock = StuckClock()
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())
        holding = asyncio.create_task(context.backoff(3600))
        await clock.asleep.wait()

        holding.cancel()
        await asyncio.wait((holding,))

        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_what_it_waits_for_may_fail(self) -> None:
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver())

        async def fail() -> None:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError, match="boom"):
            await context.cancel_on_stop(fail())


async def steps() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class TestGate:
    async def test_closed_starts_nothing_until_it_opens(self) -> None:
        door = FakeGate()
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver(), gate=door)
        attempt = asyncio.create_task(context.begin_attempt("acme"))
        await steps()
        assert (attempt.done(), context.in_flight) == (False, 0)

        door.open()
        await attempt

        assert context.in_flight == 1

    async def test_closed_does_not_hold_a_lane_that_stops(self) -> None:
        context = PartitionContext(
            0, clock=FakeClock(), observer=RecordingObserver(), gate=FakeGate()
        )
        attempt = asyncio.create_task(context.begin_attempt("acme"))
        await steps()

        context.stop()

        with pytest.raises(PartitionStoppedError):
            await attempt
        with pytest.raises(PartitionStoppedError):
            await context.wait_for_ownership()


class TestFairSemaphore:
    async def test_is_for_so_many_attempts_and_is_given_on_in_turn(self) -> None:
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver(), at_a_time=2)
        order: list[int] = []

        async def attempt(number: int) -> None:
            await context.begin_attempt("acme")
            order.append(number)

        tasks = [asyncio.create_task(attempt(number)) for number in range(4)]
        await steps()
        assert order == [0, 1]
        context.end_attempt("acme")
        await steps()
        assert order == [0, 1, 2]
        context.end_attempt("acme")
        await asyncio.gather(*tasks)

        assert (order, context.in_flight) == ([0, 1, 2, 3], 2)

    async def test_is_not_lost_with_one_that_is_cancelled(self) -> None:
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver(), at_a_time=1)
        await context.begin_attempt("acme")
        first, second = (asyncio.create_task(context.begin_attempt("acme")) for _ in range(2))
        await steps()

        context.end_attempt("acme")
        first.cancel()
        await asyncio.wait((first,))

        await asyncio.wait_for(second, 1)

    async def test_told_to_stop_sends_all_who_wait_away(self) -> None:
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver(), at_a_time=1)
        await context.begin_attempt("acme")
        waiting = [asyncio.create_task(context.begin_attempt("acme")) for _ in range(3)]
        await steps()

        context.stop()

        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [PartitionStoppedError] * 3

    async def test_is_quiet_when_the_last_attempt_ended(self) -> None:
        context = PartitionContext(0, clock=FakeClock(), observer=RecordingObserver())
        await context.wait_idle()
        await context.begin_attempt("acme")
        quiet = asyncio.create_task(context.wait_idle())
        await steps()
        assert not quiet.done()

        context.end_attempt("acme")

        await asyncio.wait_for(quiet, 1)
