from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from hookseal.delivery.ordering import Limits
from streams.order import Order
from streams.partition_runner import EventPartitionRunner
from tests.conditions import until
from tests.fakes import FakeClock, RecordingObserver
from tests.unit.streams.fakes import PLACE, Consumer, Stream

if TYPE_CHECKING:
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer


class Delivery:
    """Fails for `b`, takes for ever for `c`, and is done at once with all others."""

    def __init__(self) -> None:
        self.running: set[bytes | None] = set()
        self.begun = asyncio.Event()
        self.done: list[bytes | None] = []

    def customers(self, _: Record) -> None:
        return None

    async def __call__(
        self, record: Record, context: PartitionContext, customer_id: str | None = None
    ) -> None:
        self.running.add(record.key)
        try:
            if record.key == b"b":
                raise RuntimeError("boom")
            if record.key == b"c":
                self.begun.set()
                await asyncio.Event().wait()
            self.done.append(record.key)
        finally:
            self.running.discard(record.key)


async def nothing(_: int) -> None:
    """Have no commands to catch up with."""


def runner_of(delivery: Delivery, consumer: Consumer) -> EventPartitionRunner:
    def its_consumer() -> OffsetTrackingConsumer:
        return cast("OffsetTrackingConsumer", consumer)

    observer, clock = RecordingObserver(), FakeClock()
    return EventPartitionRunner(
        deliver=cast("Any", delivery),
        catch_up=nothing,
        consumer=its_consumer,
        observer=observer,
        clock=clock,
        order=Order(consumer=its_consumer, observer=observer, clock=clock),
        ordering="customer",
        limits=Limits(events=2, waiting=5),
        pressure=None,
        at_a_time=4,
        each=4,
        grace_s=0,
    )


class TestEventPartitionRunner:
    async def test_a_feed_that_fails_leaves_nothing_running_behind_it(self) -> None:
        delivery, consumer = Delivery(), Consumer()

        with pytest.raises(RuntimeError, match="boom"):
            await runner_of(delivery, consumer).run(cast("Any", Stream(b"c", b"b", b"a", b"a")))

        assert delivery.running == set()
        assert consumer.low_watermark(PLACE) == 0

    async def test_stopped_cuts_off_what_does_not_end_in_time(self) -> None:
        delivery, consumer = Delivery(), Consumer()
        events = runner_of(delivery, consumer)
        running = asyncio.create_task(events.run(cast("Any", Stream(b"c", b"c", b"c"))))
        await delivery.begun.wait()

        await events.stop({PLACE})
        await running

        assert delivery.running == set()
        assert consumer.low_watermark(PLACE) == 0

    async def test_begun_anew_it_drops_what_is_in_hand_and_passes_over_what_is_finished(
        self,
    ) -> None:
        delivery, consumer = Delivery(), Consumer()
        events, stream = runner_of(delivery, consumer), Stream(b"c", b"a", b"d")
        running = asyncio.create_task(events.run(cast("Any", stream)))
        await delivery.begun.wait()

        # Another worker finished the first two while this one was taken for dead.
        await events.reset_partitions({PLACE})
        assert delivery.running == set()
        consumer.mark_done_through(PLACE, 1)
        stream.hand_over()
        await until(lambda: consumer.low_watermark(PLACE) == 3)
        running.cancel()
        await running

        # What it had finished itself stays finished.
        assert delivery.done == [b"a", b"d"]
        assert consumer.low_watermark(PLACE) == 3

    async def test_what_is_on_no_partition_that_goes_goes_on(self) -> None:
        delivery, consumer = Delivery(), Consumer()
        events = runner_of(delivery, consumer)
        running = asyncio.create_task(events.run(cast("Any", Stream(b"c", b"c", b"c"))))
        await delivery.begun.wait()

        await events.stop({PLACE._replace(partition=1)})
        assert delivery.running == {b"c"}

        running.cancel()
        await running
        assert delivery.running == set()
