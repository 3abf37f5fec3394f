"""Runs one scheduler per held partition, fed from a store."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hookseal.delivery.ordering import OffsetTracker, PartitionScheduler
from hookseal.delivery.ordering.keys import ordering_keys_for
from hookseal.delivery.ordering.partition import PartitionContext, PartitionStoppedError
from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from typing import Any

    from hookseal.delivery.handler import EventHandler
    from hookseal.delivery.ordering import Limits, Pressure
    from hookseal.delivery.ordering.keys import Ordering
    from hookseal.delivery.ordering.partition import Gate
    from hookseal.delivery.ports import Clock
    from hookseal.local.store import Store
    from hookseal.telemetry.observer import Observer

_AT_A_TIME = 100
_WAIT_S = 1.0
_STORE_PAUSE_S = 0.5
_CRASH_PAUSE_S = 1.0
_SETTLE_S = 0.05


class _StoreOffsetTracker(OffsetTracker):
    """Tracks finished events, and those that the store does not know of yet."""

    def __init__(self) -> None:
        super().__init__()
        self.untold: list[int] = []
        self.is_news = asyncio.Event()

    def mark_done(self, offset: int) -> None:
        super().mark_done(offset)
        self.untold.append(offset)
        self.is_news.set()


class _RunningPartition:
    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.tracker = _StoreOffsetTracker()
        self.scheduler: PartitionScheduler | None = None
        self.tasks: list[asyncio.Task[None]] = []


class StorePartitionRunner:
    """Runs the event handler for each partition that this process holds."""

    def __init__(
        self,
        *,
        store: Store,
        deliver: EventHandler,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        gate: Callable[[int], Gate],
        observer: Observer,
        clock: Clock,
        ordering: Ordering,
        limits: Limits,
        pressure: Pressure | None,
        at_a_time: int | None,
        each: int | None,
        grace_s: float,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._catch_up = catch_up
        self._gate = gate
        self._observer = observer
        self._clock = clock
        self._ordering_keys = ordering_keys_for(ordering, deliver.customers)
        self._limits = limits
        self._pressure = pressure
        self._at_a_time = at_a_time
        self._each = each
        self._grace_s = grace_s
        self._running: dict[int, _RunningPartition] = {}

    def start(self, partition: int) -> None:
        """Start a partition at its first unfinished event."""
        running = self._running[partition] = _RunningPartition(partition)
        running.tasks = [
            asyncio.create_task(self._run(running)),
            asyncio.create_task(self._keep_telling(running)),
        ]

    async def stop(self, partitions: Collection[int] | None = None) -> None:
        """Stop these partitions, or all, concurrently.

        A running attempt may finish within the grace time. A
        backoff is cancelled at once, and its event stays in the store.
        """
        going = set(self._running) if partitions is None else set(partitions) & set(self._running)
        await asyncio.gather(*(self._end(self._running.pop(one)) for one in going))

    def report(self) -> None:
        for running in self._running.values():
            if running.scheduler is not None:
                self._observer.in_progress(
                    running.partition,
                    attempts=running.scheduler.context.in_flight,
                    queues=running.scheduler.queues,
                    oldest_s=running.scheduler.oldest_s,
                )

    async def _run(self, running: _RunningPartition) -> None:
        while True:
            running.scheduler = scheduler = self._new_scheduler(running)
            try:
                await self._feed(running, scheduler)
            except PartitionStoppedError:
                return
            except Exception as error:  # noqa: BLE001
                # A bug of ours must not stop the partition for good: unfinished events
                # are read again.
                self._observer.crashed("", error)
                scheduler.stop()
                await scheduler.ended()
                await self._clock.sleep(_CRASH_PAUSE_S)

    async def _feed(self, running: _RunningPartition, scheduler: PartitionScheduler) -> None:
        # Tenant changes before the first event must be visible to it.
        await scheduler.context.cancel_on_stop(self._catch_up(running.partition))
        after = -1
        while True:
            try:
                events = await self._store.events(
                    running.partition, after, _AT_A_TIME, wait_s=_WAIT_S
                )
            except BrokerError:
                await scheduler.context.wait(_STORE_PAUSE_S)
                continue
            for event in events:
                await scheduler.submit(event)
                after = event.offset

    def _new_scheduler(self, running: _RunningPartition) -> PartitionScheduler:
        return PartitionScheduler(
            PartitionContext(
                running.partition,
                clock=self._clock,
                observer=self._observer,
                gate=self._gate(running.partition),
                at_a_time=self._at_a_time,
                each=self._each,
            ),
            tracker=running.tracker,
            work=self._deliver,
            ordering_keys=self._ordering_keys,
            limits=self._limits,
            now=self._clock.now,
            pressure=self._pressure,
        )

    async def _keep_telling(self, running: _RunningPartition) -> None:
        # Without delay: after a kill, events that the store does not know of are repeated.
        while True:
            await running.tracker.is_news.wait()
            running.tracker.is_news.clear()
            if not await self._tell(running):
                await self._clock.sleep(_STORE_PAUSE_S)
                running.tracker.is_news.set()

    async def _tell(self, running: _RunningPartition) -> bool:
        """Delete finished events from the store; return whether that succeeded."""
        untold, running.tracker.untold = running.tracker.untold, []
        if not untold:
            return True
        try:
            await self._store.finish(running.partition, untold)
        except BaseException as error:
            running.tracker.untold = untold + running.tracker.untold
            if not isinstance(error, BrokerError):
                raise
            return False
        return True

    async def _end(self, running: _RunningPartition) -> None:
        run, telling = running.tasks
        scheduler = running.scheduler
        if scheduler is not None:
            scheduler.stop()
        # In the mode `partition` the feed itself delivers: let it finish.
        endings = [asyncio.ensure_future(scheduler.ended())] if scheduler is not None else []
        if scheduler is not None and scheduler.context.in_flight:
            endings.append(asyncio.ensure_future(scheduler.context.wait_idle()))
        if endings:
            _, late = await asyncio.wait(endings, timeout=self._grace_s)
            if late and scheduler is not None:
                scheduler.cancel()
            for task in late:
                task.cancel()
        # The decision of an attempt needs a few steps of the event loop to be tracked.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(run), _SETTLE_S)
        for task in (run, telling):
            task.cancel()
        await asyncio.wait((run, telling))
        await self._tell(running)
        self._observer.in_progress(running.partition, attempts=0, queues=0, oldest_s=0.0)
