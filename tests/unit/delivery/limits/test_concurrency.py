from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookseal.delivery.limits.concurrency import FairSemaphore
from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.ports import Answer, SealedRequest
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine
from tests.fakes import FakeClock, RecordingObserver
from tests.partition_model import steps

CUSTOMERS = ("a", "b", "c")


class Guests:
    """Customers' attempts, each of which wants in."""

    def __init__(self, room: FairSemaphore) -> None:
        self.room = room
        self.inside: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, customer_id: str) -> None:
        self.tasks.append(asyncio.create_task(self._enter(customer_id)))

    async def _enter(self, customer_id: str) -> None:
        if await self.room.acquire(customer_id):
            self.inside.append(customer_id)

    def go(self, customer_id: str) -> None:
        self.inside.remove(customer_id)
        self.room.release(customer_id)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def guests() -> Guests:
    return Guests(FairSemaphore(4, 2))


class TestFairSemaphore:
    async def test_one_customer_has_no_more_than_its_share(self, guests: Guests) -> None:
        for customer_id in "aaaaab":
            guests.come(customer_id)
        await steps()

        assert guests.inside == ["a", "a", "b"]
        await guests.end()

    async def test_who_waits_has_its_turn_before_another_s_second(self, guests: Guests) -> None:
        for customer_id in "aabb" + "aaaa" + "cc":
            guests.come(customer_id)
        await steps()

        guests.go("a")
        await steps()
        guests.go("a")
        await steps()

        assert sorted(guests.inside) == ["a", "b", "b", "c"]
        await guests.end()

    async def test_whoever_is_cancelled_gives_its_turn_on(self, guests: Guests) -> None:
        for customer_id in "aaaa":
            guests.come(customer_id)
        await steps()

        guests.go("a")
        guests.tasks[2].cancel()
        await steps()

        assert guests.inside == ["a", "a"]
        assert guests.tasks[3].done()

    async def test_whoever_is_cancelled_before_its_turn_is_passed_over(
        self, guests: Guests
    ) -> None:
        for customer_id in "aaaa":
            guests.come(customer_id)
        await steps()

        guests.tasks[2].cancel()
        guests.go("a")
        await steps()

        assert guests.inside == ["a", "a"]
        assert guests.tasks[3].done()

    async def test_who_is_sent_away_has_taken_nothing(self, guests: Guests) -> None:
        for customer_id in "aaaa":
            guests.come(customer_id)
        await steps()

        guests.room.cancel_waiters()
        await steps()

        assert all(task.done() for task in guests.tasks)
        assert (guests.inside, guests.room.count) == (["a", "a"], 2)

    @settings(max_examples=60)
    @given(
        st.lists(st.tuples(st.sampled_from(["come", "go", "cancel"]), st.integers(0, 9))),
        st.sampled_from([None, 1, 3]),
        st.sampled_from([None, 1, 2]),
    )
    def test_nobody_waits_who_could_enter(
        self, moves: list[tuple[str, int]], in_all: int | None, each: int | None
    ) -> None:
        async def play() -> None:
            guests = Guests(FairSemaphore(in_all, each))
            for number, (move, which) in enumerate(moves):
                waiting = [task for task in guests.tasks if not task.done()]
                if move == "come":
                    guests.come(CUSTOMERS[which % len(CUSTOMERS)])
                elif move == "go" and guests.inside:
                    guests.go(guests.inside[which % len(guests.inside)])
                elif move == "cancel" and waiting:
                    waiting[which % len(waiting)].cancel()
                if number % 3:
                    # Otherwise the next move comes before anybody heard of this one.
                    await steps(4)
            await steps(4)
            for customer_id in CUSTOMERS:
                assert each is None or guests.inside.count(customer_id) <= each
            assert guests.room.count == len(guests.inside)
            assert in_all is None or len(guests.inside) <= in_all
            for key, line in guests.room._waiting.items():
                assert line
                assert not guests.room._fits(key)
            await guests.end()

        asyncio.run(play())


class TestNeighbours:
    async def test_are_delivered_to_beside_fifty_endpoints_that_do_not_answer(self) -> None:
        clock = FakeClock()
        silent = [an_endpoint(f"silent_{number}") for number in range(50)]
        engine = Engine(a_tenant("acme", *silent), a_tenant("other"), clock=clock)
        context = PartitionContext(
            0, clock=clock, observer=RecordingObserver(), at_a_time=32, each=8
        )

        async def post(request: SealedRequest, _: object) -> Answer:
            if "silent" in request.url:
                await asyncio.Event().wait()
            return Answer(200)

        engine.transport.post = post  # type: ignore[method-assign, assignment]
        stuck = asyncio.create_task(engine.deliver(a_record(offset=1), context))
        await steps(500)
        on_wire = context.in_flight

        await asyncio.wait_for(engine.deliver(a_record(key=b"other", offset=2), context), 5)

        assert on_wire == 8
        assert engine.observer.accepted == ["evt_2"]
        stuck.cancel()
        await asyncio.gather(stuck, return_exceptions=True)
