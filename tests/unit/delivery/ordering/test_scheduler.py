"""One suite of rules for the three orders, and what each of them adds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.partition_model import EVERYBODY, Partition, failed, steps

if TYPE_CHECKING:
    from hookseal.delivery.ordering.keys import Ordering


class OrderingContract:
    ordering: ClassVar[Ordering]

    @pytest.fixture
    async def partition(self) -> Partition:
        return Partition(self.ordering)

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

    async def test_an_event_waits_for_all_endpoints_of_the_one_before(
        self, partition: Partition
    ) -> None:
        partition.publish("a")
        partition.publish("a")
        await steps()
        partition.answer(0, 200)
        await steps()

        assert {offset for _, offset in partition.attempted} == {0}
        await partition.finish()

    async def test_a_full_lane_holds_the_partition_until_it_moves(
        self, partition: Partition
    ) -> None:
        # One in hand, three that wait, and the one that has no room.
        for _ in range(5):
            partition.publish("b")
        partition.publish("c")
        await steps()
        assert partition.attempted == [("b1", 0)]

        partition.answer_all()
        await steps()

        assert ("c1", 5) in partition.attempted
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
        partition.publish("b")
        await steps()

        with pytest.raises(RuntimeError, match="boom"):
            partition.owner._feed.result()
