"""The lanes of each partition of `events`: feeds them, and lets them go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.delivery.ordering import PartitionScheduler
from hookseal.delivery.ordering.keys import ordering_keys_for
from hookseal.delivery.ordering.partition import (
    PartitionContext,
    PartitionStoppedError,
    wait_idle,
)
from streams.record_stream import iter_records
from streams.sequence import Sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from faust.types import TP, StreamT

    from hookseal.delivery.ordering import Limits, Pressure
    from hookseal.delivery.ordering.keys import Ordering
    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer
    from streams.order import Order

__all__ = ["EventPartitionRunner", "wait_idle"]


class Delivery(Protocol):
    """The agent: what is done with a record, and for whom it is."""

    def customers(self, record: Record) -> list[str] | None:
        """Return the customers of a broadcast; None for a record of one customer."""
        ...

    async def __call__(
        self, record: Record, context: PartitionContext, customer_id: str | None = None
    ) -> None:
        """Return once the record, or one customer's part of it, is dealt with for good."""
        ...


class _RunningPartition:
    """What runs for one partition."""

    def __init__(self) -> None:
        self.tp: TP | None = None
        self.scheduler: PartitionScheduler | None = None
        self.task: asyncio.Task[None] | None = None
        self.sequence = Sequence()
        self.waits_for_record = True
        self.is_ending = False

    async def ended(self) -> None:
        """Wait until neither the feed nor anything it fed runs any more."""
        assert self.task is not None  # noqa: S101 - set before the line is reachable
        await asyncio.wait((self.task,))
        if self.scheduler is not None:
            await self.scheduler.ended()


class EventPartitionRunner:
    """Runs the agent `deliver` for each partition that this worker holds."""

    def __init__(
        self,
        *,
        deliver: Delivery,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        consumer: Callable[[], OffsetTrackingConsumer],
        observer: Observer,
        clock: Clock,
        order: Order,
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self._deliver = deliver
        self._catch_up = catch_up
        self._consumer = consumer
        self._observer = observer
        self._clock = clock
        self._order = order
        self._ordering_keys = ordering_keys_for(ordering, deliver)
        self._limits = limits
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._running: set[_RunningPartition] = set()

    async def run(self, stream: StreamT[bytes]) -> None:
        """Be the agent of one partition, until the partition goes or the worker stops."""
        running = _RunningPartition()
        running.task = asyncio.create_task(self._feed(stream, running))
        self._running.add(running)
        try:
            await asyncio.shield(running.task)
        except asyncio.CancelledError:
            return
        finally:
            # Also when the feed failed: what it fed must not run beside its successor's.
            await self._end([running])
            self._running.discard(running)
            if running.tp is not None:
                self._observer.in_hand(running.tp.partition, attempts=0, lines=0, oldest_s=0.0)

    async def stop(self, partitions: Iterable[TP] | None = None) -> None:
        """Stop the lanes of these partitions, or all, side by side.

        A running attempt may end within the grace time, and what it finishes counts; a
        backoff is cut at once, and its event stays on the log for the next owner.
        """
        gone = None if partitions is None else set(partitions)
        await self._end(
            [running for running in self._running if gone is None or running.tp in gone]
        )

    async def reset_partitions(self, partitions: Iterable[TP]) -> None:
        """Drop what is in hand of these partitions, and go on from what is committed.

        For a worker that the group took for dead: another one may have finished since what
        stands in its lanes, and it would deliver that again.
        """
        gone = set(partitions)
        dropped: list[PartitionScheduler] = []
        for running in self._running:
            if running.tp in gone and running.scheduler is not None:
                dropped.append(running.scheduler)
                running.scheduler, running.sequence = None, Sequence()
        for scheduler in dropped:
            scheduler.stop()
        endings = [asyncio.ensure_future(scheduler.ended()) for scheduler in dropped]
        if endings:
            _, late = await asyncio.wait(endings, timeout=self._grace_s)
            if late:
                for scheduler in dropped:
                    scheduler.cancel()
                await asyncio.wait(late)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no attempt is on the wire, up to so many seconds."""
        await wait_idle(
            (
                running.scheduler.context
                for running in self._running
                if running.scheduler is not None
            ),
            timeout_s,
        )

    def reset(self, tp: TP) -> None:
        """Begin the partition anew: its log is another one."""
        for running in self._running:
            if running.tp == tp and running.scheduler is not None:
                running.scheduler.next_offset = 0

    def report(self) -> None:
        """Tell how much is in hand, for each partition."""
        for running in self._running:
            if running.tp is not None and running.scheduler is not None:
                self._observer.in_hand(
                    running.tp.partition,
                    attempts=running.scheduler.context.in_flight,
                    lines=running.scheduler.queues,
                    oldest_s=running.scheduler.oldest_s,
                )

    async def _feed(self, stream: StreamT[bytes], running: _RunningPartition) -> None:
        async with aclosing(iter_records(stream)) as events:
            async for _, tp, record in events:
                if running.sequence.is_new and not await self._consumer().wait_for_committed_offset(
                    tp
                ):
                    continue
                running.waits_for_record = False
                # Where the partition is begun anew the record is read again, if it is due.
                with suppress(PartitionStoppedError):
                    await self._take(tp, record, running)
                if running.is_ending:
                    return
                running.waits_for_record = True

    async def _take(self, tp: TP, record: Record, running: _RunningPartition) -> None:
        scheduler = await self._scheduler_for(running, tp)
        # What an earlier owner committed may have become known meanwhile.
        due = max(scheduler.next_offset, self._consumer().low_watermark(tp))
        if await self._order.admits(tp, record, running.sequence, finished=due):
            await scheduler.submit(record)

    async def _scheduler_for(self, running: _RunningPartition, tp: TP) -> PartitionScheduler:
        if running.scheduler is not None:
            return running.scheduler
        running.tp = tp
        running.scheduler = scheduler = PartitionScheduler(
            PartitionContext(
                tp.partition,
                clock=self._clock,
                observer=self._observer,
                gate=self._consumer().membership,
                at_a_time=self._at_a_time,
                each=self._each,
            ),
            tracker=self._consumer().tracker(tp),
            work=self._deliver,
            ordering_keys=self._ordering_keys,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
        )
        # Commands that stand in front of the first event must be seen by it: a tenant whose
        # endpoint is not added yet would skip it.
        await scheduler.context.cancel_on_stop(self._catch_up(tp.partition))
        return scheduler

    async def _end(self, lines: list[_RunningPartition]) -> None:
        for running in lines:
            assert running.task is not None  # noqa: S101 - set before the line is reachable
            running.is_ending = True
            if running.scheduler is not None:
                running.scheduler.stop()
            if running.waits_for_record:
                # There is nothing to let end but what it fed already.
                running.task.cancel()
        if not lines:
            return
        endings = [asyncio.ensure_future(running.ended()) for running in lines]
        _, late = await asyncio.wait(endings, timeout=self._grace_s)
        if late:
            for running in lines:
                if running.task is not None:
                    running.task.cancel()
                if running.scheduler is not None:
                    running.scheduler.cancel()
            await asyncio.wait(late)
