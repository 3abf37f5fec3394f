from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from agents.deliver import deliver
from hookseal.delivery.ordering import Limits
from hookseal.runtime.partition_runner import PartitionRunner
from streams.stream_source import StreamSource
from tests.conditions import until
from tests.fakes import FakeClock, RecordingObserver, UndividedHandler
from tests.unit.streams.fakes import PLACE, Consumer, Stream

if TYPE_CHECKING:
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer


class Delivery(UndividedHandler):
    """Fails for `b`, waits for an answer for `c`, and is done at once with all others."""

    def __init__(self) -> None:
        self.running: set[bytes | None] = set()
        self.begun = asyncio.Event()
        self.answered = asyncio.Event()
        self.done: list[bytes | None] = []

    async def __call__(self, record: Record, context: PartitionContext, _: object = None) -> None:
        self.running.add(record.key)
        try:
            if record.key == b"b":
                raise RuntimeError("boom")
            if record.key == b"c":
                self.begun.set()
                await self.answered.wait()
            self.done.append(record.key)
        finally:
            self.running.discard(record.key)


async def nothing(_: int) -> None:
    """Have no commands to catch up with."""


async def agent(stream: Stream, runner: PartitionRunner[Any]) -> None:
    await deliver(cast("Any", stream), partitions=runner)


def runner_of(
    delivery: Delivery, consumer: Consumer, *, events: int = 2, grace_s: float = 0
) -> PartitionRunner[Any]:
    def its_consumer() -> OffsetTrackingConsumer:
        return cast("OffsetTrackingConsumer", consumer)

    observer, clock = RecordingObserver(), FakeClock()
    return PartitionRunner(
        source=partial(
            StreamSource,
            topic=PLACE.topic,
            consumer=its_consumer,
            observer=observer,
            clock=clock,
        ),
        handler=cast("Any", delivery),
        catch_up=nothing,
        observer=observer,
        clock=clock,
        ordering="partition" if events == 1 else "customer",
        limits=Limits(events=events, waiting=5),
        pressure=None,
        at_a_time=4,
        each=4,
        grace_s=grace_s,
    )


@pytest.mark.parametrize("fast_path", [True, False])
class TestPartitionRunner:
    async def test_a_feed_that_fails_leaves_nothing_running_behind_it(
        self, *, fast_path: bool
    ) -> None:
        delivery, consumer = Delivery(), Consumer()

        with pytest.raises(RuntimeError, match="boom"):
            await agent(
                Stream(b"c", b"b", b"a", b"a", fast_path=fast_path), runner_of(delivery, consumer)
            )

        assert delivery.running == set()
        assert consumer.low_watermark(PLACE) == 0

    async def test_stopped_cuts_off_what_does_not_end_in_time(self, *, fast_path: bool) -> None:
        delivery, consumer = Delivery(), Consumer()
        events = runner_of(delivery, consumer)
        running = asyncio.create_task(agent(Stream(b"c", b"c", b"c", fast_path=fast_path), events))
        await delivery.begun.wait()

        await events.stop({PLACE.partition})
        await running

        assert delivery.running == set()
        assert consumer.low_watermark(PLACE) == 0

    async def test_begun_anew_it_drops_what_is_in_hand_and_passes_over_what_is_finished(
        self, *, fast_path: bool
    ) -> None:
        delivery, consumer = Delivery(), Consumer()
        events, stream = (
            runner_of(delivery, consumer),
            Stream(b"c", b"a", b"d", fast_path=fast_path),
        )
        running = asyncio.create_task(agent(stream, events))
        await delivery.begun.wait()

        # Another worker finished the first two while this one was taken for dead.
        await events.reset_partitions({PLACE.partition})
        assert delivery.running == set()
        consumer.mark_done_through(PLACE, 1)
        stream.hand_over()
        await until(lambda: consumer.low_watermark(PLACE) == 3)
        running.cancel()
        await running

        # What it had finished itself stays finished.
        assert delivery.done == [b"a", b"d"]
        assert consumer.low_watermark(PLACE) == 3

    async def test_what_is_on_no_partition_that_goes_goes_on(self, *, fast_path: bool) -> None:
        delivery, consumer = Delivery(), Consumer()
        events = runner_of(delivery, consumer)
        running = asyncio.create_task(agent(Stream(b"c", b"c", b"c", fast_path=fast_path), events))
        await delivery.begun.wait()

        await events.stop({1})
        assert delivery.running == {b"c"}

        running.cancel()
        await running
        assert delivery.running == set()

    @pytest.mark.parametrize("events", [1, 2])
    async def test_a_running_attempt_may_end_although_the_agent_is_cancelled(
        self, *, fast_path: bool, events: int
    ) -> None:
        delivery, consumer = Delivery(), Consumer()
        runner = runner_of(delivery, consumer, events=events, grace_s=60)
        running = asyncio.create_task(agent(Stream(b"c", fast_path=fast_path), runner))
        await delivery.begun.wait()

        running.cancel()
        await until(lambda: bool(running.cancelling()))
        delivery.answered.set()
        await running

        assert delivery.done == [b"c"]
        assert consumer.low_watermark(PLACE) == 1
