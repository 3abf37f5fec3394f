"""Runs one scheduler per assigned partition of `events`, and stops it on revocation."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.delivery.ordering import PartitionScheduler
from hookseal.delivery.ordering.keys import ordering_keys_for
from hookseal.delivery.ordering.partition import (
    PartitionContext,
    PartitionStoppedError,
    wait_idle,
)
from streams.record_stream import iter_records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from faust.types import TP, StreamT

    from hookseal.delivery.ordering import Limits, Pressure
    from hookseal.delivery.ordering.keys import Ordering
    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer
    from streams.gap_detector import GapDetector
    from streams.record_stream import FetchedRecord


class Handler(Protocol):
    """Handles one record; see `hookseal.delivery.handler`."""

    def customers(self, record: Record) -> list[str] | None:
        """Return the customers of a broadcast; None for an event of one customer."""
        ...

    async def __call__(
        self, record: Record, context: PartitionContext, customer_id: str | None = None
    ) -> None:
        """Return once the event, or one customer's part of it, is done for good."""
        ...


class RunningPartition:
    """One assigned partition, as its agent sees it.

    The agent's task may be cancelled at any time. What was submitted goes on until the partition
    is stopped.
    """

    def __init__(self, runner: EventPartitionRunner, fetched: AsyncIterator[FetchedRecord]) -> None:
        self.tp: TP | None = None
        self.scheduler: PartitionScheduler | None = None
        self.gaps = runner.gap_detector()
        self.is_ending = False
        self._runner = runner
        self._fetched = fetched
        self._agent = asyncio.current_task()
        self._waits_for_record = False
        self._submitting: asyncio.Task[None] | None = None
        self._has_left = asyncio.Event()

    async def records(self) -> AsyncIterator[Record]:
        """Yield the records to submit, until the partition is stopped."""
        while not self.is_ending:
            self._waits_for_record = True
            try:
                _, tp, record = await anext(self._fetched)
            except StopAsyncIteration:
                return
            finally:
                self._waits_for_record = False
            if self.gaps.is_new and not await self._runner.is_assigned(tp):
                continue
            self.tp = tp
            yield record

    async def submit(self, record: Record) -> None:
        """Return once the record has a queue place; in the mode `partition`, once it is done."""
        submitting = self._runner.submit(self, record)
        if not self._runner.is_sequential:
            await submitting
            return
        # A task of its own, so that an attempt may end although the agent is cancelled.
        self._submitting = asyncio.create_task(submitting)
        await asyncio.shield(self._submitting)

    def leave(self) -> None:
        """Note that the agent submits no more."""
        self._has_left.set()

    def stop(self) -> None:
        """Start nothing more; a running attempt may end."""
        self.is_ending = True
        if self.scheduler is not None:
            self.scheduler.stop()
        if self._waits_for_record and self._agent is not None:
            self._agent.cancel()

    def cancel(self) -> None:
        """Cut off everything that still runs."""
        if self._submitting is not None:
            self._submitting.cancel()
        if not self._has_left.is_set() and self._agent is not None:
            self._agent.cancel()
        if self.scheduler is not None:
            self.scheduler.cancel()

    async def ended(self) -> None:
        """Wait until neither the agent nor a submitted record runs any more."""
        await self._has_left.wait()
        if self._submitting is not None:
            await asyncio.wait((self._submitting,))
        if self.scheduler is not None:
            await self.scheduler.ended()


class EventPartitionRunner:
    """Handles the events of each partition that is assigned to this worker."""

    def __init__(
        self,
        *,
        handler: Handler,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        consumer: Callable[[], OffsetTrackingConsumer],
        observer: Observer,
        clock: Clock,
        gap_detector: Callable[[], GapDetector],
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self.gap_detector = gap_detector
        self._handler = handler
        self._catch_up = catch_up
        self._consumer = consumer
        self._observer = observer
        self._clock = clock
        self._ordering_keys = ordering_keys_for(ordering, handler)
        self._limits = limits
        self.is_sequential = limits.events == 1
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._running: set[RunningPartition] = set()

    @asynccontextmanager
    async def open(self, stream: StreamT[bytes]) -> AsyncIterator[RunningPartition]:
        """Run one partition inside an agent; swallows the cancellation of the agent.

        mode would take a cancelled agent for a crashed one.
        """
        async with aclosing(iter_records(stream)) as fetched:
            running = RunningPartition(self, fetched)
            self._running.add(running)
            try:
                with suppress(asyncio.CancelledError):
                    yield running
            finally:
                # After a crash, too: what was submitted must not run beside the agent's successor.
                running.leave()
                await self._end([running])
                self._running.discard(running)
                if running.tp is not None:
                    self._observer.in_hand(running.tp.partition, attempts=0, lines=0, oldest_s=0.0)

    async def stop(self, partitions: Iterable[TP] | None = None) -> None:
        """Stop these partitions, or all, in parallel.

        A running attempt may end within the grace time, and its outcome counts. A backoff is cut
        at once, and its event stays on the log for the next owner.
        """
        gone = None if partitions is None else set(partitions)
        await self._end(
            [running for running in self._running if gone is None or running.tp in gone]
        )

    async def reset_partitions(self, partitions: Iterable[TP]) -> None:
        """Drop the events in progress of these partitions and resume at the committed offset.

        For a worker that lost its membership: another worker may have delivered these events.
        """
        gone = set(partitions)
        dropped: list[PartitionScheduler] = []
        for running in self._running:
            if running.tp in gone and running.scheduler is not None:
                dropped.append(running.scheduler)
                running.scheduler, running.gaps = None, self.gap_detector()
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
        """Wait until no request is on the wire, at most `timeout_s` seconds."""
        await wait_idle(
            (
                running.scheduler.context
                for running in self._running
                if running.scheduler is not None
            ),
            timeout_s,
        )

    def reset(self, tp: TP) -> None:
        """Start at offset 0: the topic was recreated."""
        for running in self._running:
            if running.tp == tp and running.scheduler is not None:
                running.scheduler.next_offset = 0

    def report(self) -> None:
        """Report the events in progress of each partition."""
        for running in self._running:
            if running.tp is not None and running.scheduler is not None:
                self._observer.in_hand(
                    running.tp.partition,
                    attempts=running.scheduler.context.in_flight,
                    lines=running.scheduler.queues,
                    oldest_s=running.scheduler.oldest_s,
                )

    async def is_assigned(self, tp: TP) -> bool:
        """Wait until the committed offset is known; return whether the partition is ours."""
        return await self._consumer().wait_for_committed_offset(tp)

    async def submit(self, running: RunningPartition, record: Record) -> None:
        """Schedule the record if it is the next one, unless its partition stops."""
        assert running.tp is not None  # noqa: S101 - set with the first record
        # After `reset_partitions` the record is read again, if it is due.
        with suppress(PartitionStoppedError):
            scheduler = await self._scheduler_for(running, running.tp)
            # The commit of an earlier owner may have become known meanwhile.
            due = max(scheduler.next_offset, self._consumer().low_watermark(running.tp))
            if await running.gaps.check(running.tp, record, due=due):
                await scheduler.submit(record)

    async def _scheduler_for(self, running: RunningPartition, tp: TP) -> PartitionScheduler:
        if running.scheduler is not None:
            return running.scheduler
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
            work=self._handler,
            ordering_keys=self._ordering_keys,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
        )
        # The commands written before the first event must be applied first: a tenant whose endpoint
        # is not added yet would skip the event.
        await scheduler.context.cancel_on_stop(self._catch_up(tp.partition))
        return scheduler

    async def _end(self, partitions: list[RunningPartition]) -> None:
        for running in partitions:
            running.stop()
        if not partitions:
            return
        endings = [asyncio.ensure_future(running.ended()) for running in partitions]
        _, late = await asyncio.wait(endings, timeout=self._grace_s)
        if late:
            for running in partitions:
                running.cancel()
            await asyncio.wait(late)
