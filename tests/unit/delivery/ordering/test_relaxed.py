"""Endpoints with an ordering mode of their own, looser than the operator's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from hookseal.domain.endpoint import looser
from tests.conditions import until
from tests.fakes import NOW
from tests.partition_model import EVERYBODY, Partition, failed, steps

if TYPE_CHECKING:
    from hookseal.domain.endpoint import EndpointOrdering, Ordering


def attempts_at(partition: Partition, endpoint: str) -> list[int]:
    return [offset for name, offset in partition.attempted if name == endpoint]


async def answer_at(partition: Partition, endpoint: str, status: int = 200) -> None:
    """Answer what is on the wire to one endpoint."""
    for request in list(partition.wire):
        if request.endpoint == endpoint and not request.answer.done():
            request.answer.set_result(status)
    await steps()


@pytest.mark.parametrize(
    ("operators", "own", "counts"),
    [
        ("partition", None, "partition"),
        ("partition", "endpoint", "endpoint"),
        ("customer", "key", "key"),
        ("endpoint", "endpoint", "endpoint"),
        ("endpoint", "unordered", "unordered"),
        ("key", "endpoint", "key"),
        ("unordered", "endpoint", "unordered"),
    ],
)
def test_the_looser_mode_counts(
    operators: Ordering, own: EndpointOrdering | None, counts: Ordering
) -> None:
    assert looser(operators, own) == counts


@pytest.mark.parametrize("ordering", ["partition", "customer"])
class TestBesideTheRest:
    @pytest.fixture
    async def partition(self, ordering: Ordering) -> Partition:
        return Partition(ordering, relaxed={"a2": "endpoint"})

    async def test_a_relaxed_endpoint_holds_neither_the_other_endpoints_nor_other_customers(
        self, partition: Partition
    ) -> None:
        for customer in ("a", "b", "a", EVERYBODY, "b"):
            partition.publish(customer)
        for _ in range(12):
            await steps()
            for endpoint in ("a1", "b1", "c1"):
                await answer_at(partition, endpoint)

        assert attempts_at(partition, "a1") == [0, 2, 3]
        assert attempts_at(partition, "b1") == [1, 3, 4]
        assert attempts_at(partition, "c1") == [3]
        assert attempts_at(partition, "a2") == [0]
        await partition.finish()
        assert attempts_at(partition, "a2") == [0, 2, 3]
        assert failed(partition) == []

    async def test_the_rest_does_not_hold_a_relaxed_endpoint(self, partition: Partition) -> None:
        partition.publish("a")
        await steps()
        await answer_at(partition, "a2")

        assert partition.decided() == {("a2", 0)}
        assert partition.owner.tracker.low_watermark == 0
        await partition.finish()

    async def test_an_offset_is_done_with_its_last_part(self, partition: Partition) -> None:
        for customer in ("a", "b"):
            partition.publish(customer)
        await steps()
        await answer_at(partition, "a1")
        await answer_at(partition, "b1")
        partition.commit()

        assert partition.committed == 0
        assert partition.is_committed(1)
        await partition.crash()
        await partition.finish()
        assert attempts_at(partition, "b1") == [1]

    async def test_a_tenant_that_is_disabled_gets_one_dead_letter_for_each_event(
        self, partition: Partition
    ) -> None:
        tenants = partition.engine.tenants
        tenants.held["a"] = replace(tenants.held["a"], enabled=False)
        partition.publish("a")
        await steps()

        assert partition.engine.dead_letters.reasons == ["tenant_disabled"]
        assert partition.owner.tracker.low_watermark == 1

    async def test_an_invalid_record_gets_one_dead_letter(self, partition: Partition) -> None:
        offset = partition.publish("a")
        partition.log[offset] = replace(partition.log[offset], value=b"not json")
        await steps()

        assert partition.engine.dead_letters.reasons == ["json_invalid"]
        assert partition.owner.tracker.low_watermark == 1

    async def test_an_event_for_no_other_endpoint_waits_for_none(
        self, partition: Partition
    ) -> None:
        tenants = partition.engine.tenants
        tenant = tenants.held["a"]
        first, second = tenant.endpoints
        tenants.held["a"] = replace(
            tenant, endpoints=(replace(first, event_types=("other",)), second)
        )
        partition.publish("a")
        partition.publish("b")
        await steps()

        assert attempts_at(partition, "b1") == [1]
        assert partition.engine.observer.skips == []
        await answer_at(partition, "b1")
        await answer_at(partition, "a2")
        assert partition.owner.tracker.low_watermark == 2

    async def test_events_with_other_keys_do_not_wait(self, ordering: Ordering) -> None:
        partition = Partition(ordering, relaxed={"b1": "key"})
        for ordering_key in ("k", "l", "k"):
            partition.publish("b", ordering_key)
        await steps()

        assert partition.attempted == [("b1", 0), ("b1", 1)]
        await partition.finish()

    async def test_unordered_events_do_not_wait(self, ordering: Ordering) -> None:
        partition = Partition(ordering, relaxed={"b1": "unordered"}, at_a_time=4)
        for _ in range(3):
            partition.publish("b")
        await steps()

        assert attempts_at(partition, "b1") == [0, 1, 2]
        await partition.finish()


class TestPermits:
    async def test_attempts_beside_the_sequence_take_none_of_it(self) -> None:
        partition = Partition("partition", relaxed={"b1": "unordered"}, at_a_time=2)
        for customer in ("b", "b", "b", "c"):
            partition.publish(customer)
        await steps()

        assert set(partition.attempted) == {("b1", 0), ("b1", 1), ("c1", 3)}
        await partition.finish()

    async def test_a_stop_ends_what_runs_beside_the_sequence(self) -> None:
        partition = Partition("partition", relaxed={"b1": "endpoint"})
        partition.publish("b")
        partition.publish("b")
        await steps()

        await partition.rebalance(late=200)
        await partition.finish()

        assert attempts_at(partition, "b1") == [0, 1]


class TestChangeOfMode:
    """The order of what was read before holds until it is done."""

    @pytest.mark.parametrize("before", ["endpoint", "key"])
    @pytest.mark.parametrize("ordering", ["partition", "customer"])
    async def test_back_to_the_operators(
        self, ordering: Ordering, before: EndpointOrdering
    ) -> None:
        partition = Partition(ordering, relaxed={"b1": before})
        partition.publish("b")
        partition.publish("b")
        await steps()
        await partition.relax("b1", None)
        partition.publish("b")
        await steps()

        assert attempts_at(partition, "b1") == [0]
        await partition.finish()
        assert attempts_at(partition, "b1") == [0, 1, 2]

    @pytest.mark.parametrize(("before", "after"), [("endpoint", "key"), ("key", "endpoint")])
    @pytest.mark.parametrize("ordering", ["partition", "customer", "endpoint"])
    async def test_to_another(
        self, ordering: Ordering, before: EndpointOrdering, after: EndpointOrdering
    ) -> None:
        partition = Partition(ordering, relaxed={"b1": before})
        partition.publish("b")
        await steps()
        await partition.relax("b1", after)
        partition.publish("b")
        await steps()

        assert attempts_at(partition, "b1") == [0]
        await partition.finish()
        assert attempts_at(partition, "b1") == [0, 1]

    async def test_from_the_operators_beside_an_endpoint_with_a_mode_of_its_own(self) -> None:
        partition = Partition("customer", relaxed={"a2": "endpoint"})
        partition.publish("a")
        await steps()
        partition.answer_all(500)
        await steps()
        await partition.relax("a1", "endpoint")
        partition.publish("a")
        await steps()

        assert attempts_at(partition, "a1") == [0]
        await partition.finish()
        assert attempts_at(partition, "a1") == [0, 0, 1]

    async def test_of_an_endpoint_that_does_not_subscribe_to_what_waits(self) -> None:
        partition = Partition("customer", relaxed={"a2": "endpoint"})
        tenants = partition.engine.tenants
        first, second = tenants.held["a"].endpoints
        other = replace(second, event_types=("other",))
        tenants.held["a"] = replace(tenants.held["a"], endpoints=(first, other))
        partition.publish("a")
        await steps()
        tenants.held["a"] = replace(tenants.held["a"], endpoints=(first, second))
        partition.publish("a")
        await steps()

        # The event that waits is not for the relaxed endpoint, which therefore does not wait.
        assert partition.attempted == [("a1", 0), ("a2", 1)]

    async def test_from_the_operators(self) -> None:
        partition = Partition("customer")
        partition.publish("b")
        partition.publish("b")
        await steps()
        await partition.relax("b1", "endpoint")
        partition.publish("b")
        await steps()

        assert attempts_at(partition, "b1") == [0]
        await partition.finish()
        assert attempts_at(partition, "b1") == [0, 1, 2]

    async def test_of_an_unknown_tenant_that_becomes_known(self) -> None:
        partition = Partition("customer", relaxed={"b1": "endpoint"})
        tenants = partition.engine.tenants
        tenant = tenants.held.pop("b")
        known = asyncio.Event()
        tenants.settle = lambda _: known.wait()  # type: ignore[assignment, method-assign, return-value]
        partition.publish("b")
        await steps()
        tenants.held["b"] = tenant
        partition.publish("b")
        await steps()

        assert partition.attempted == []
        known.set()
        await partition.finish()
        assert partition.attempted == [("b1", 0), ("b1", 1)]


class TestHold:
    """A customer holds the sequence of its partition while events wait."""

    async def hold(self, partition: Partition, seconds: float) -> None:
        """Let the event that runs take so long."""
        await steps()
        partition.engine.clock.time += seconds
        partition.answer_all()
        await steps()

    async def test_its_endpoints_are_suspended_and_the_neighbour_gets_its_event(self) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=30.0)
        for _ in range(20):
            partition.publish("a")
        partition.publish("c")
        # The third event makes it 42 s. The fourth begins before the suspension takes effect.
        for _ in range(4):
            await self.hold(partition, 14.0)
        await until(lambda: ("c1", 20) in partition.attempted)

        assert partition.engine.clock.time == NOW + 4 * 14.0
        assert partition.engine.observer.suspended_because == {"a1": "behind", "a2": "behind"}
        await partition.finish()
        assert list(dict.fromkeys(attempts_at(partition, "a1"))) == list(range(20))

    async def test_many_short_events_count_together(self) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=30.0)
        for _ in range(100):
            partition.publish("b")
        partition.publish("c")
        count = 0
        while not partition.engine.observer.suspended_because:
            await self.hold(partition, 0.5)
            count += 1
        partition.answer_all()
        await until(lambda: ("c1", 100) in partition.attempted)

        assert count == 61
        await partition.finish()

    @pytest.mark.parametrize("hold_s", [0.0, 60.0])
    async def test_within_the_limit_nothing_is_suspended(self, hold_s: float) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=hold_s)
        for _ in range(10):
            partition.publish("b")
        for _ in range(10):
            await self.hold(partition, 5.5)

        assert partition.engine.observer.suspended_because == {}
        await partition.finish()

    async def test_nothing_is_suspended_if_no_event_waits(self) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=5.0)
        for _ in range(10):
            offset = partition.publish("b")
            now_ms = int(partition.engine.clock.time * 1000)
            partition.log[offset] = replace(partition.log[offset], timestamp_ms=now_ms)
            await self.hold(partition, 14.0)

        assert partition.engine.observer.suspended_because == {}
        await partition.finish()

    async def test_nothing_is_suspended_without_a_neighbour(self) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=5.0)
        for customer in ("a", "c"):
            del partition.engine.tenants.held[customer]
        for _ in range(4):
            partition.publish("b")
        for _ in range(4):
            await self.hold(partition, 14.0)

        assert partition.engine.observer.suspended_because == {}
        await partition.finish()

    async def test_a_relaxed_endpoint_is_not_suspended_for_the_rest(self) -> None:
        partition = Partition("partition", suspend_after=1, hold_s=5.0, relaxed={"a2": "endpoint"})
        for _ in range(10):
            partition.publish("a")
        for _ in range(2):
            await self.hold(partition, 14.0)
        await until(lambda: bool(partition.engine.observer.suspended_because))

        assert partition.engine.observer.suspended_because == {"a1": "behind"}
        await partition.finish()
