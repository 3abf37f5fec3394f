from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.limits.rate import Throttle
from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from hookseal.delivery.ports import Answer
from hookseal.domain.endpoint import EndpointLimits
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine
from tests.fakes import FakeClock, RecordingObserver
from tests.partition_model import HeldClock, steps

if TYPE_CHECKING:
    from hookseal.delivery.ports import SealedRequest

PLACE = ("acme", "ep_1")


class Case:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.backoff = BackoffWaits()
        self.throttle = Throttle(self.clock, self.backoff)
        self.context = PartitionContext(0, clock=self.clock, observer=RecordingObserver())

    async def admitted(self, limits: EndpointLimits | None, place: Any = PLACE) -> None:
        await self.throttle.admitted(place, lambda: limits, self.context)


@pytest.fixture
def case() -> Case:
    return Case()


class TestRate:
    async def test_is_kept_over_time(self, case: Case) -> None:
        for _ in range(21):
            await case.admitted(EndpointLimits(rate_per_s=2))
            case.throttle.ended(PLACE)

        # Two at once, then one each half second.
        assert sum(case.clock.slept) == pytest.approx(9.5, abs=0.1)

    async def test_below_one_a_second_lets_one_go_at_once(self, case: Case) -> None:
        for _ in range(3):
            await case.admitted(EndpointLimits(rate_per_s=0.1))
            case.throttle.ended(PLACE)

        assert sum(case.clock.slept) == pytest.approx(20)

    async def test_a_pause_saves_no_more_than_a_second_s_worth(self, case: Case) -> None:
        limits = EndpointLimits(rate_per_s=3)
        await case.admitted(limits)
        case.throttle.ended(PLACE)
        case.clock.time += 3600

        for _ in range(3):
            await case.admitted(limits)
            case.throttle.ended(PLACE)
        assert case.clock.slept == []
        await case.admitted(limits)
        assert sum(case.clock.slept) == pytest.approx(1 / 3, abs=0.01)

    async def test_a_clock_that_is_set_back_gives_and_takes_nothing(self, case: Case) -> None:
        limits = EndpointLimits(rate_per_s=1)
        await case.admitted(limits)
        case.clock.time -= 100
        await case.admitted(limits)

        assert sum(case.clock.slept) == pytest.approx(1)

    async def test_of_one_endpoint_is_none_of_another_s(self, case: Case) -> None:
        await case.admitted(EndpointLimits(rate_per_s=0.1))
        await case.admitted(EndpointLimits(rate_per_s=0.1), ("acme", "ep_2"))

        assert case.clock.slept == []

    async def test_a_lane_that_stops_does_not_wait_for_it(self, case: Case) -> None:
        await case.admitted(EndpointLimits(rate_per_s=0.1))
        case.context.stop()

        with pytest.raises(PartitionStoppedError):
            await case.admitted(EndpointLimits(rate_per_s=0.1))

    async def test_one_alone_looks_at_the_clock(self) -> None:
        clock = HeldClock()
        throttle = Throttle(clock, BackoffWaits())
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())
        limits = EndpointLimits(rate_per_s=1)
        admitted: list[int] = []

        async def attempt(number: int) -> None:
            await throttle.admitted(PLACE, lambda: limits, context)
            admitted.append(number)

        tasks = [asyncio.create_task(attempt(number)) for number in range(1000)]
        await steps(10)
        assert (admitted, len(clock.sleepers)) == ([0], 1)

        clock.time += 1
        clock.wake()
        await steps(20)
        assert (admitted, len(clock.sleepers)) == ([0, 1], 1)
        context.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_that_is_lifted_holds_nobody_any_more(self) -> None:
        clock = HeldClock()
        backoff = BackoffWaits()
        throttle = Throttle(clock, backoff)
        context = PartitionContext(0, clock=clock, observer=RecordingObserver())
        limits: EndpointLimits | None = EndpointLimits(rate_per_s=0.01)
        tasks = [
            asyncio.create_task(throttle.admitted(PLACE, lambda: limits, context)) for _ in range(5)
        ]
        await steps(10)
        assert [task.done() for task in tasks] == [True, False, False, False, False]

        limits = None
        backoff.wake(PLACE)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)


class TestConcurrency:
    async def test_is_for_so_many_and_goes_on_in_turn(self, case: Case) -> None:
        limits = EndpointLimits(concurrency=2)
        admitted: list[int] = []

        async def attempt(number: int) -> None:
            await case.admitted(limits)
            admitted.append(number)

        tasks = [asyncio.create_task(attempt(number)) for number in range(4)]
        await steps()
        first = list(admitted)
        case.throttle.ended(PLACE)
        await steps()

        assert first == [0, 1]
        assert admitted == [0, 1, 2]
        case.context.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_whoever_is_cut_off_leaves_the_line(self, case: Case) -> None:
        limits = EndpointLimits(concurrency=1)
        await case.admitted(limits)
        cut_off = asyncio.create_task(case.admitted(limits))
        after = asyncio.create_task(case.admitted(limits))
        await steps()

        cut_off.cancel()
        await steps()
        case.throttle.ended(PLACE)
        await asyncio.wait_for(after, 5)

    async def test_whoever_is_cut_off_in_its_turn_gives_it_on(self, case: Case) -> None:
        limits = EndpointLimits(concurrency=1)
        await case.admitted(limits)
        cut_off = asyncio.create_task(case.admitted(limits))
        after = asyncio.create_task(case.admitted(limits))
        await steps()

        case.throttle.ended(PLACE)
        cut_off.cancel()
        await asyncio.wait_for(after, 5)

    async def test_memory_is_bounded_and_what_is_under_way_is_kept(self, case: Case) -> None:
        limits = EndpointLimits(concurrency=1)
        await case.admitted(limits)
        for number in range(20_000):
            await case.admitted(limits, ("other", str(number)))
            case.throttle.ended(("other", str(number)))

        assert len(case.throttle._states) == 10_000
        assert PLACE in case.throttle._states


class TestDelivery:
    async def test_waits_as_long_as_the_endpoint_asked_to_be_spared(self) -> None:
        engine = Engine(a_tenant("acme", an_endpoint(limits=EndpointLimits(rate_per_s=0.5))))

        for offset in range(3):
            await engine.deliver(a_record(offset=offset), engine.context())

        assert len(engine.transport.requests) == 3
        assert sum(engine.clock.slept) == pytest.approx(4)

    async def test_of_a_disabled_endpoint_is_not_made_to_wait(self) -> None:
        limits = EndpointLimits(rate_per_s=0.01)
        engine = Engine(a_tenant("acme", an_endpoint(enabled=False, limits=limits)))

        for offset in range(3):
            await engine.deliver(a_record(offset=offset), engine.context())

        assert engine.clock.slept == []
        assert engine.dead_letters.reasons == ["endpoint_disabled"] * 3

    async def test_attempts_of_one_endpoint_at_a_time(self) -> None:
        engine = Engine(a_tenant("acme", an_endpoint(limits=EndpointLimits(concurrency=1))))
        on_wire, most = 0, 0

        async def post(_: SealedRequest, __: object) -> Answer:
            nonlocal on_wire, most
            on_wire += 1
            most = max(most, on_wire)
            await asyncio.sleep(0)
            on_wire -= 1
            return Answer(200)

        engine.transport.post = post  # type: ignore[method-assign, assignment]
        context = engine.context()
        await asyncio.gather(*(engine.deliver(a_record(offset=n), context) for n in range(8)))

        assert most == 1
        assert len(engine.observer.accepted) == 8

    @pytest.mark.parametrize(("own", "used"), [(None, 15), (2.5, 2.5), (60, 15)])
    async def test_a_shorter_timeout_is_taken_and_a_longer_one_is_not(
        self, own: float | None, used: float
    ) -> None:
        engine = Engine(a_tenant("acme", an_endpoint(limits=EndpointLimits(timeout_s=own))))

        await engine.deliver(a_record(), engine.context())

        assert engine.transport.requests[0].timeout_s == used
