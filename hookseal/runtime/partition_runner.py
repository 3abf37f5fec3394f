"""Runs one scheduler per assigned partition of events, and stops it on revocation."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hookseal.delivery.ordering import PartitionScheduler
from hookseal.delivery.ordering.keys import OrderingKeyFinder
from hookseal.delivery.ordering.partition import (
    PartitionContext,
    PartitionStoppedError,
    wait_idle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable

    from hookseal.delivery.handler import EventHandler
    from hookseal.delivery.ordering import Limits, OffsetTracker, Pressure
    from hookseal.delivery.ordering.partition import Gate
    from hookseal.delivery.ports import Clock
    from hookseal.domain.endpoint import Ordering
    from hookseal.domain.record import Record
    from hookseal.telemetry.observer import Observer

_FeedT = TypeVar("_FeedT")


class EventSource(Protocol):
    """Where the events of one partition come from, and where their offsets are tracked."""

    @property
    def partition(self) -> int | None:
        """The partition; None if only the first record tells."""
        ...

    @property
    def records(self) -> AsyncIterator[Record]:
        """The records in offset order; waits for more."""
        ...

    async def assign(self, partition: int) -> bool:
        """Wait until the start offset is known; return whether the partition is still ours."""
        ...

    def tracker(self, partition: int) -> OffsetTracker:
        """Return the tracker of done offsets."""
        ...

    def gate(self, partition: int) -> Gate:
        """Return the gate that is open while this process owns the partition."""
        ...

    def is_due(self, record: Record, next_offset: int) -> Awaitable[bool]:
        """Return whether to handle the record now; `next_offset` is expected."""
        ...

    async def close(self) -> None:
        """Stop reading; every offset that was marked as done is stored."""
        ...


class RunningPartition:
    """One assigned partition, as its agent sees it.

    The agent's task may be cancelled at any time. Submitted records continue until the partition
    is stopped.
    """

    scheduler: PartitionScheduler | None = None

    def __init__(self, runner: PartitionRunner[Any], source: EventSource) -> None:
        self.partition = source.partition
        self._runner = runner
        self._source = source
        self._is_ending = False
        self._agent = asyncio.current_task()
        self._waits_for_record = False
        self._submitting: asyncio.Task[None] | None = None
        self._has_left = asyncio.Event()

    async def records(self) -> AsyncIterator[Record]:
        """Yield the records to submit, until the partition is stopped."""
        while not self._is_ending:
            self._waits_for_record = True
            try:
                record = await anext(self._source.records)
            except StopAsyncIteration:
                return
            finally:
                self._waits_for_record = False
            if self.scheduler is None and not await self._source.assign(record.partition):
                continue
            self.partition = record.partition
            yield record

    async def submit(self, record: Record) -> None:
        """Return once the record has a queue slot; in the mode `partition`, once it is done."""
        submitting = self._submit(record)
        if not self._runner.is_sequential:
            await submitting
            return
        # A task of its own, so that an attempt may end although the agent is cancelled.
        self._submitting = asyncio.create_task(submitting)
        await asyncio.shield(self._submitting)

    async def _submit(self, record: Record) -> None:
        # After `reset_partitions` the record is read again, if it is due.
        with suppress(PartitionStoppedError):
            scheduler = self.scheduler
            if scheduler is None:
                self.scheduler = scheduler = self._runner.new_scheduler(
                    self._source, record.partition
                )
                # Apply the commands that were written before the first event: a tenant whose
                # endpoint is not added yet would skip the event.
                await scheduler.context.cancel_on_stop(self._runner.catch_up(record.partition))
            if await self._source.is_due(record, scheduler.next_offset):
                await scheduler.submit(record)

    def leave(self) -> None:
        """Note that the agent submits no more."""
        self._has_left.set()

    def stop(self) -> None:
        """Start nothing more; a running attempt may end."""
        self._is_ending = True
        if self.scheduler is not None:
            self.scheduler.stop()
        if self._waits_for_record and self._agent is not None:
            self._agent.cancel()

    def cancel(self) -> None:
        """Cancel everything that still runs."""
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


class PartitionRunner(Generic[_FeedT]):
    """Handles the events of each partition that is assigned to this process.

    Args:
        source: Makes the source of what an agent gets: a Faust stream, or a partition of a store.
        catch_up: Waits until all tenant changes so far are visible on the partition.
        at_a_time: Concurrent attempts per partition, beside the sequence of the mode `partition`;
            None = no limit.
        each: Of these, attempts of one customer; None = no limit.
        grace_s: Seconds for running attempts to end after a stop.
    """

    def __init__(
        self,
        *,
        source: Callable[[_FeedT], EventSource],
        handler: EventHandler,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        observer: Observer,
        clock: Clock,
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self.catch_up = catch_up
        self.is_sequential = ordering == "partition"
        self._source = source
        self._handler = handler
        self._observer = observer
        self._clock = clock
        self._ordering_keys = OrderingKeyFinder(ordering, handler.split)
        self._limits = limits
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._running: set[RunningPartition] = set()

    @asynccontextmanager
    async def open(self, feed: _FeedT) -> AsyncIterator[RunningPartition]:
        """Run one partition inside an agent; swallows the cancellation of the agent.

        mode would take a cancelled agent for a crashed one.
        """
        source = self._source(feed)
        running = RunningPartition(self, source)
        self._running.add(running)
        try:
            with suppress(asyncio.CancelledError):
                yield running
        finally:
            # After a crash, too: what was submitted must not run beside the agent's successor.
            running.leave()
            await self._end([running])
            self._running.discard(running)
            if running.partition is not None:
                self._observer.in_progress(running.partition, attempts=0, queues=0, oldest_s=0.0)
            await source.close()

    async def stop(self, partitions: Collection[int] | None = None) -> None:
        """Stop these partitions, or all, in parallel.

        A running attempt may end within the grace time, and its outcome counts. A backoff is
        cancelled at once, and its event stays where it is for the next owner.
        """
        await self._end(
            [one for one in self._running if partitions is None or one.partition in partitions]
        )

    async def reset_partitions(self, partitions: Collection[int]) -> None:
        """Drop the events in progress of these partitions and resume at the committed offset.

        For a worker that lost its membership: another worker may have delivered these events.
        """
        dropped: list[PartitionScheduler] = []
        for running in self._running:
            if running.partition in partitions and running.scheduler is not None:
                dropped.append(running.scheduler)
                running.scheduler = None
        await self._end(dropped)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no request is on the wire, at most `timeout_s` seconds."""
        await wait_idle(
            (context for _, one in self._scheduled() for context in one.contexts), timeout_s
        )

    def reset(self, partition: int) -> None:
        """Start at offset 0: the topic was recreated."""
        for number, scheduler in self._scheduled():
            if number == partition:
                scheduler.next_offset = 0

    def report(self) -> None:
        """Report the events in progress of each partition."""
        for partition, scheduler in self._scheduled():
            self._observer.in_progress(
                partition,
                attempts=sum(context.in_flight for context in scheduler.contexts),
                queues=scheduler.queues,
                oldest_s=scheduler.oldest_s,
            )

    def new_scheduler(self, source: EventSource, partition: int) -> PartitionScheduler:
        """Return a scheduler that continues where the source's tracker is."""

        def context(**limits: int | None) -> PartitionContext:
            return PartitionContext(
                partition,
                clock=self._clock,
                observer=self._observer,
                gate=source.gate(partition),
                **limits,
            )

        many = context(at_a_time=self._at_a_time, each=self._each)
        return PartitionScheduler(
            context() if self.is_sequential else many,
            tracker=source.tracker(partition),
            work=self._handler,
            ordering_keys=self._ordering_keys,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
            defer=self._handler.defer,
            beside=many,
        )

    def _scheduled(self) -> Iterable[tuple[int, PartitionScheduler]]:
        for running in self._running:
            if running.partition is not None and running.scheduler is not None:
                yield running.partition, running.scheduler

    async def _end(self, going: Collection[RunningPartition | PartitionScheduler]) -> None:
        for one in going:
            one.stop()
        if not going:
            return
        endings = [asyncio.ensure_future(one.ended()) for one in going]
        _, late = await asyncio.wait(endings, timeout=self._grace_s)
        if late:
            for one in going:
                one.cancel()
            await asyncio.wait(late)
