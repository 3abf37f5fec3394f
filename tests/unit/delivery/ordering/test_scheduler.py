"""One suite of rules for the five orders, and what each of them adds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import pytest
from msgspec.structs import replace

from hookseal.delivery.ordering import scheduler
from tests.conditions import until
from tests.partition_model import EVERYBODY, Partition, failed, steps

if TYPE_CHECKING:
    from hookseal.domain.endpoint import EndpointOrdering, Ordering


class OrderingContract:
    ordering: ClassVar[Ordering]

    @pytest.fixture(params=["operators", "relaxed"])
    async def partition(self, request: pytest.FixtureRequest) -> Partition:
        """Return a partition, also one with endpoints that have modes of their own."""
        own: dict[str, EndpointOrdering] = {"a2": "endpoint", "c1": "key"}
        return Partition(self.ordering, relaxed=own if request.param == "relaxed" else None)

    async def test_delivers_everything_once_when_nothing_fails(self, partition: Partition) -> None:
        for customer in ("a", "b", "a", "c", EVERYBODY, "b"):
            partition.publish(customer)

        await partition.finish()

        assert len(partition.attempted) == len(set(partition.attempted)) == 3 * 1 + 2 * 2 + 4
        assert failed(partition) == []

    async def test_a_failing_event_is_tried_again_then_given_up(self, partition: Partition) -> None:
        partition.publish("b")
        for _ in range(3):
            await steps()
            partition.answer_all(500)
            await steps()
            partition.clock.wake()
        await steps()

        assert failed(partition) == [("evt_0", "b1")]
        assert partition.owner.tracker.low_watermark == 1

    async def test_nothing_is_committed_that_is_not_finished(self, partition: Partition) -> None:
        for customer in ("a", "b", "c"):
            partition.publish(customer)
        await steps()

        partition.commit()

        assert (partition.committed, partition.committed_note) == (0, "")

    async def test_stopped_it_starts_nothing_and_its_successor_goes_on(
        self, partition: Partition
    ) -> None:
        for customer in ("a", "b", "c", "a"):
            partition.publish(customer)
        await steps()

        await partition.rebalance(late=200)
        await partition.finish()

        assert len(partition.attempted) == len(set(partition.attempted))

    async def test_a_stop_cuts_a_backoff_and_gives_nothing_up(self, partition: Partition) -> None:
        partition.publish("b")
        await steps()
        partition.answer_all(500)
        await steps()

        await partition.rebalance()

        assert failed(partition) == []
        await partition.finish()

    async def test_a_crash_repeats_what_was_on_the_wire_and_no_more(
        self, partition: Partition
    ) -> None:
        for customer in ("b", "c", "b", "c"):
            partition.publish(customer)
        await steps()
        partition.answer(0, 200)
        await steps()
        partition.commit()
        on_wire = {(request.endpoint, request.offset) for request in partition.wire}
        before = set(partition.attempted)

        await partition.crash()
        await partition.finish()

        repeated = {pair for pair in before if partition.attempted.count(pair) > 1}
        assert repeated == on_wire

    async def test_a_hole_in_the_log_holds_nothing(self, partition: Partition) -> None:
        partition.publish("b")
        await steps()
        partition.answer_all()
        await steps()
        for _ in range(3):
            partition.log.append(partition.log[0])
        record = partition.publish("c")
        partition.owner.scheduler.next_offset = 1
        partition.owner.stop_reading()

        taking = asyncio.create_task(partition.owner.scheduler.submit(partition.log[record]))
        await steps()
        partition.answer_all()
        await steps()
        await taking

        assert partition.owner.tracker.low_watermark == 5
        assert partition.attempted == [("b1", 0), ("c1", 4)]

    async def test_a_record_that_is_no_event_is_given_up_once(self, partition: Partition) -> None:
        offset = partition.publish(EVERYBODY)
        record = partition.log[offset]
        partition.log[offset] = type(record)(
            record.topic, 0, offset, None, b"not json", record.headers
        )
        await steps()

        assert partition.engine.dead_letters.reasons == ["json_invalid"]
        assert partition.owner.tracker.low_watermark == 1


class TestPartitionOrder(OrderingContract):
    ordering = "partition"

    async def test_a_blocked_customer_holds_the_partition(self, partition: Partition) -> None:
        partition.publish("b")
        partition.publish("c")
        await steps()
        partition.answer_all(500)
        await steps()

        assert partition.attempted == [("b1", 0)]
        await partition.finish()


class BesideOneAnother(OrderingContract):
    async def test_a_blocked_customer_holds_nobody_else(self, partition: Partition) -> None:
        partition.publish("b")
        await steps()
        partition.answer_all(500)
        await steps()
        for _ in range(40):
            partition.publish("c")
            await steps()
            partition.answer_all()
            await steps()
        partition.commit()

        assert [pair for pair in partition.attempted if pair[0] == "c1"] == [
            ("c1", offset) for offset in range(1, 41)
        ]
        # What is finished is remembered above the one that is not.
        assert partition.committed == 0
        assert all(partition.is_committed(offset) for offset in range(1, 41))
        await partition.crash()
        await partition.finish()
        assert len(partition.attempted) == 42

    async def test_a_backoff_takes_no_room_on_the_wire(self) -> None:
        partition = Partition(self.ordering, at_a_time=1)
        partition.publish("b")
        partition.publish("c")
        await steps()
        partition.answer_all(500)
        await steps()

        assert [request.endpoint for request in partition.wire] == ["c1"]
        await partition.finish()


class TestCustomerOrder(BesideOneAnother):
    ordering = "customer"

    async def test_an_event_waits_for_all_endpoints_of_the_one_before(self) -> None:
        partition = Partition("customer")
        partition.publish("a")
        partition.publish("a")
        await steps()
        partition.answer(0, 200)
        await steps()

        assert {offset for _, offset in partition.attempted} == {0}
        await partition.finish()

    async def test_a_broadcast_takes_its_turn_in_every_lane_it_touches(
        self, partition: Partition
    ) -> None:
        partition.publish("b")
        partition.publish(EVERYBODY)
        partition.publish("c")
        await steps()
        partition.answer_all(200, b=500)
        await steps()
        partition.answer_all(200, b=500)
        await steps()
        partition.answer_all(200, b=500)
        await steps()

        # All have it but the one who is blocked, who holds nobody.
        assert [name for name, offset in partition.attempted if offset == 1] != []
        assert {name for name, offset in partition.decided() if offset == 1} == {"a1", "a2", "c1"}
        assert ("c1", 2) in partition.decided()
        await partition.finish()


class TestEndpointOrder(BesideOneAnother):
    ordering = "endpoint"

    async def test_an_endpoint_waits_for_no_other_of_its_customer(
        self, partition: Partition
    ) -> None:
        for _ in range(3):
            partition.publish("a")
        for _ in range(3):
            await steps()
            for request in list(partition.wire):
                if request.endpoint == "a2":
                    request.answer.set_result(200)
        await steps()

        assert [offset for name, offset in partition.attempted if name == "a2"] == [0, 1, 2]
        assert [offset for name, offset in partition.attempted if name == "a1"] == [0]
        await partition.finish()

    async def test_events_behind_an_unknown_tenant_wait_for_it_together(
        self, partition: Partition
    ) -> None:
        tenants = partition.engine.tenants
        tenant = tenants.held.pop("b")
        known = asyncio.Event()
        tenants.settle = lambda _: known.wait()  # type: ignore[assignment, method-assign, return-value]
        partition.publish("b")
        await steps()
        tenants.held["b"] = tenant
        partition.publish("b")
        await steps()
        before = list(partition.attempted)

        known.set()
        await partition.finish()

        assert before == []
        assert partition.attempted == [("b1", 0), ("b1", 1)]

    async def test_a_disabled_tenant_gets_one_dead_letter_for_each_event(
        self, partition: Partition
    ) -> None:
        tenants = partition.engine.tenants
        tenants.held["a"] = replace(tenants.held["a"], enabled=False)

        partition.publish("a")
        await steps()

        assert partition.engine.dead_letters.reasons == ["tenant_disabled"]
        assert partition.owner.tracker.low_watermark == 1


class TestKeyOrder(BesideOneAnother):
    ordering = "key"

    async def test_events_with_other_keys_do_not_wait(self, partition: Partition) -> None:
        for ordering_key in ("k", "l", "k"):
            partition.publish("b", ordering_key)
        await steps()

        assert partition.attempted == [("b1", 0), ("b1", 1)]
        await partition.finish()

    async def test_many_keys_of_one_customer_are_delivered_beside_a_blocked_one(self) -> None:
        partition = Partition("key", at_a_time=4, window=16)
        partition.publish("b", "blocked")
        await steps()
        partition.answer_all(503)
        await steps()
        for number in range(100):
            partition.publish("b", f"key-{number}")
        for _ in range(60):
            await steps()
            partition.answer_all()
        await steps()
        partition.commit()

        assert sum(partition.is_committed(offset) for offset in range(1, 101)) == 100
        assert partition.committed == 0
        await partition.finish()


class TestUnordered(BesideOneAnother):
    ordering = "unordered"

    async def test_a_failing_event_waits_aside(self, partition: Partition) -> None:
        partition.publish("b")
        partition.publish("b")
        await steps()
        partition.answer(0, 500)
        await steps()
        partition.answer_all()
        await steps()

        assert ("b1", 1) in partition.decided()
        await partition.finish()


class TestRelaxedEndpoints:
    """Endpoints whose own mode is looser than the operator's."""

    @pytest.mark.parametrize("ordering", ["partition", "customer"])
    async def test_are_held_by_no_other_endpoint_and_hold_none(self, ordering: Ordering) -> None:
        partition = Partition(ordering, relaxed={"a2": "endpoint"})
        for customer in ("a", "a", "b"):
            partition.publish(customer)
        await steps()
        partition.answer(0, 500)
        await steps()
        while on_wire := [one for one in partition.wire if one.endpoint == "a2"]:
            on_wire[0].answer.set_result(200)
            await steps()

        of_relaxed = [offset for name, offset in partition.attempted if name == "a2"]
        others = {pair for pair in partition.attempted if pair[0] != "a2"}
        # In `partition` the next record is read when the endpoints in sequence are done.
        assert of_relaxed == ([0] if ordering == "partition" else [0, 1])
        assert others == ({("a1", 0)} if ordering == "partition" else {("a1", 0), ("b1", 2)})
        assert partition.owner.tracker.low_watermark == 0
        await partition.finish()

    @pytest.mark.parametrize("ordering", ["partition", "customer"])
    async def test_that_hang_do_not_hold_the_sequence(self, ordering: Ordering) -> None:
        partition = Partition(ordering, at_a_time=3, relaxed={"a2": "endpoint"})
        for customer in ("a", "b", "a", EVERYBODY, "c"):
            partition.publish(customer)
        for _ in range(6):
            await steps()
            for request in list(partition.wire):
                if request.endpoint != "a2" and not request.answer.done():
                    request.answer.set_result(200)
        await steps()
        partition.commit()

        assert [offset for name, offset in partition.attempted if name == "a2"] == [0]
        assert {offset for name, offset in partition.decided() if name == "c1"} == {3, 4}
        # The offsets whose parts are all done.
        assert partition.committed == 0
        assert [at for at in range(5) if partition.is_committed(at)] == [1, 4]
        await partition.crash()
        await partition.finish()

    async def test_choose_a_mode_by_event(self) -> None:
        partition = Partition("partition", at_a_time=4, relaxed={"a2": "unordered", "b1": "key"})
        for customer, key in (("a", "k"), ("b", "k"), ("b", "l"), ("b", "k")):
            partition.publish(customer, key)
        await steps()
        partition.answer(0, 200)
        await steps()

        assert {pair for pair in partition.attempted if pair[0] in ("a2", "b1")} == {
            ("a2", 0),
            ("b1", 1),
            ("b1", 2),
        }
        await partition.finish()

    async def test_never_tighten(self) -> None:
        partition = Partition("key")
        tenants = partition.engine.tenants
        (endpoint,) = tenants.held["b"].endpoints
        strict = replace(endpoint, ordering="endpoint")
        tenants.held["b"] = replace(tenants.held["b"], endpoints=(strict,))
        for key in ("k", "l"):
            partition.publish("b", key)
        await steps()

        assert partition.attempted == [("b1", 0), ("b1", 1)]
        await partition.finish()


@pytest.mark.parametrize("ordering", ["customer", "endpoint", "key", "unordered"])
class TestFlood:
    """More events of one customer than its queue and its share of the window hold."""

    async def test_holds_nobody_else(self, ordering: Ordering) -> None:
        partition = Partition(ordering)
        for _ in range(100):
            partition.publish("b")
        partition.publish("c")
        await steps()
        # In the mode `unordered` all attempts that may run at a time are for the flood.
        partition.answer_all()
        await steps()

        assert ("c1", 100) in partition.attempted
        await partition.finish()

    async def test_of_a_receiver_that_keeps_up_is_not_deferred(self, ordering: Ordering) -> None:
        partition = Partition(ordering, suspend_after=2)
        for _ in range(6):
            partition.publish("b")
        await partition.finish()

        assert partition.engine.observer.suspended_because == {}


@pytest.mark.parametrize("ordering", ["customer", "endpoint", "key"])
class TestFloodOfOneKey:
    @pytest.fixture(autouse=True)
    def look_at_each_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(scheduler, "_LOOK_AGAIN_S", 0)

    async def test_is_worked_off_by_an_endpoint_that_keeps_up(self, ordering: Ordering) -> None:
        partition = Partition(ordering, suspend_after=2)
        for _ in range(100):
            partition.publish("b")
        await steps()
        await partition.finish()

        assert partition.engine.observer.suspended_because == {}
        assert [offset for _, offset in partition.attempted] == list(range(100))

    async def test_is_deferred_in_order_and_delivered(
        self, ordering: Ordering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scheduler, "_EXCESS_EACH_MAX_BYTES", 20_000)
        partition = Partition(ordering, suspend_after=2)
        for _ in range(100):
            partition.publish("b")
        await steps()
        partition.engine.clock.time += 5
        await steps()
        partition.answer_all()
        await steps(300)

        deferred = partition.engine.observer.suspended_because
        letters = [int(letter.event_id[4:]) for letter in partition.engine.dead_letters.letters]
        assert deferred == {"b1": "behind"}
        assert letters == list(range(1, 100))
        # In a few writes, not in one for each event.
        assert sum(partition.engine.dead_letters.batches) > 90
        await partition.finish()
        assert [offset for _, offset in partition.attempted] == list(range(100))

    async def test_is_deferred_when_it_is_long_behind_beside_a_neighbour(
        self, ordering: Ordering
    ) -> None:
        partition = Partition(ordering, suspend_after=2)
        for _ in range(20):
            partition.publish("b")
        partition.publish("c")
        await steps()
        partition.engine.clock.time += 5
        await until(lambda: bool(partition.engine.observer.suspended_because))

        assert partition.engine.observer.suspended_because == {"b1": "behind"}
        await partition.finish()

    async def test_is_worked_off_without_a_neighbour_however_long_it_takes(
        self, ordering: Ordering
    ) -> None:
        partition = Partition(ordering, suspend_after=2)
        for _ in range(20):
            partition.publish("b")
        for _ in range(20):
            await steps()
            partition.engine.clock.time += 1.5
            await steps()
            partition.answer_all()
        await partition.finish()

        assert partition.engine.observer.suspended_because == {}

    async def test_cuts_the_attempt_off_when_memory_ends(
        self, ordering: Ordering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scheduler, "_EXCESS_EACH_MAX_BYTES", 20_000)
        monkeypatch.setattr(scheduler, "_EXCESS_MAX_BYTES", 40_000)
        partition = Partition(ordering, suspend_after=2)
        for _ in range(100):
            partition.publish("b")
        partition.publish("c")
        await steps(600)

        # Never answered. The receiver gets it again, from the backlog, before the others.
        assert ("c1", 100) in partition.attempted
        assert {letter.event_id for letter in partition.engine.dead_letters.letters} >= {"evt_0"}
        await partition.finish()


class TestFloodOfManyKeys:
    @pytest.mark.parametrize("ordering", ["key", "unordered"])
    async def test_is_worked_off_beside_a_neighbour(
        self, ordering: Ordering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scheduler, "_LOOK_AGAIN_S", 0)
        partition = Partition(ordering, suspend_after=2)
        for number in range(20):
            partition.publish("b", f"key-{number}")
        partition.publish("c")
        await steps()
        partition.engine.clock.time += 50
        await steps()
        await partition.finish()

        assert partition.engine.observer.suspended_because == {}


class TestWindow:
    async def test_no_more_is_taken_than_the_window_holds(self) -> None:
        partition = Partition("unordered", window=2)
        for customer in ("a", "b", "c", "a"):
            partition.publish(customer)
        await steps()
        assert (partition.owner.scheduler.next_offset, partition.owner.scheduler.queues) == (3, 2)

        await partition.finish()


class TestFailure:
    async def test_a_fault_that_escapes_ends_the_feed(self) -> None:
        partition = Partition("customer", window=1)

        async def broken(*_: object) -> None:
            raise RuntimeError("boom")

        partition.owner.scheduler._work = broken
        partition.publish("b")
        await steps()
        partition.publish("b")
        await steps()

        with pytest.raises(RuntimeError, match="boom"):
            partition.owner._feed.result()
