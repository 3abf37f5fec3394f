from __future__ import annotations

import asyncio

import pytest

from hookseal.delivery.limits.backoff_waits import BackoffWaits
from hookseal.delivery.limits.concurrency import Permit
from hookseal.delivery.limits.rate import Throttle
from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from hookseal.domain.endpoint import EndpointLimits
from tests.builders import a_tenant, an_endpoint, an_event
from tests.engine import Engine
from tests.fakes import FakeClock, FakeGate, RecordingObserver
from tests.partition_model import steps

REF = ("acme", "ep_1")


class Case:
    def __init__(self, *, at_a_time: int | None = None, gate: FakeGate | None = None) -> None:
        self.clock = FakeClock()
        self.context = PartitionContext(
            0, clock=self.clock, observer=RecordingObserver(), at_a_time=at_a_time, gate=gate
        )
        self.throttle = Throttle(self.clock, BackoffWaits())

    def permit(self, limits: EndpointLimits | None = None) -> Permit:
        asked = None if limits is None else lambda: limits
        return Permit(REF, self.context, self.throttle, asked)


class TestPermit:
    async def test_is_there_at_once_where_nothing_limits(self) -> None:
        case = Case()

        async with case.permit() as permit:
            assert (permit.waited, case.context.in_flight) == (False, 1)

        assert case.context.in_flight == 0

    async def test_says_that_it_waited_for_a_slot(self) -> None:
        case = Case(at_a_time=1)
        waiting = case.permit()
        async with case.permit():
            entering = asyncio.create_task(waiting.__aenter__())
            await steps()
            assert not entering.done()
        await entering

        assert waiting.waited

    async def test_says_that_it_waited_for_the_ownership(self) -> None:
        gate = FakeGate()
        case = Case(gate=gate)
        waiting = case.permit()
        entering = asyncio.create_task(waiting.__aenter__())
        await steps()
        assert not entering.done()
        gate.open()
        await entering

        assert waiting.waited

    async def test_renewed_gives_its_slot_away_and_does_not_charge_the_rate_again(self) -> None:
        case = Case()
        async with case.permit(EndpointLimits(rate_per_s=1, concurrency=1)) as permit:
            for _ in range(3):
                await permit.renew()
            assert case.context.in_flight == 1
            await permit.renew(after_s=5)

        # The backoff that was asked for, and no wait for a token.
        assert case.clock.slept == [5]
        assert case.context.in_flight == 0

    async def test_gives_everything_back_when_the_partition_stops_during_a_renewal(self) -> None:
        case = Case()
        limits = EndpointLimits(concurrency=1)

        async def renew_once_stopped() -> None:
            async with case.permit(limits) as permit:
                case.context.stop()
                await permit.renew()

        with pytest.raises(PartitionStoppedError):
            await renew_once_stopped()
        assert case.context.in_flight == 0

        # Another partition may have the endpoint's only slot.
        case.context = PartitionContext(1, clock=case.clock, observer=RecordingObserver())
        async with asyncio.timeout(10), case.permit(limits):
            assert case.context.in_flight == 1

    async def test_of_an_endpoint_is_given_back_when_there_is_none_of_the_partition(self) -> None:
        case = Case()
        case.context.stop()
        limits = EndpointLimits(concurrency=1)
        for _ in range(2):
            with pytest.raises(PartitionStoppedError):
                await case.permit(limits).__aenter__()

        case.context = PartitionContext(1, clock=case.clock, observer=RecordingObserver())
        async with asyncio.timeout(10), case.permit(limits):
            assert case.context.in_flight == 1


async def test_an_endpoint_that_moves_during_the_wait_gets_the_request_at_its_new_url() -> None:
    engine = Engine()
    context = PartitionContext(0, clock=engine.clock, observer=engine.observer, at_a_time=1)
    await context.begin_attempt("acme")
    delivery = asyncio.create_task(engine.deliverer.deliver(an_event(), "acme", "ep_1", context))
    await steps()
    moved = an_endpoint(url="https://new.acme.test/hook")
    engine.tenants.held["acme"] = a_tenant("acme", moved)
    context.end_attempt("acme")

    assert (await delivery).accepted
    assert engine.transport.urls == ["https://new.acme.test/hook"]
