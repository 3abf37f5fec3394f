"""Runs deliveries for the partitions whose lease this process holds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from hookseal.delivery.ordering import OffsetTracker
from hookseal.errors import BrokerError
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hookseal.delivery.ordering.partition import Gate
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.domain.record import Record
    from hookseal.local.leases import Leases
    from hookseal.local.store import Store
    from hookseal.runtime.partition_runner import PartitionRunner
    from hookseal.telemetry.observer import Observer

_log = structlog.stdlib.get_logger("hookseal.worker")

_REPORT_EVERY_S = 1.0
_STORE_PAUSE_S = 0.5
_CRASH_PAUSE_S = 1.0
_AT_A_TIME = 100
_WAIT_S = 1.0


class StoreSource(OffsetTracker):
    """An `EventSource` on one partition of a store, from its first unfinished event.

    The tracker of the partition, too: it deletes done events from the store in the background.
    """

    def __init__(self, partition: int, *, store: Store, leases: Leases) -> None:
        super().__init__()
        self.partition = partition
        self.records = self._read()
        self._store = store
        # Now: at the first event the lease may be lost.
        self._gate = leases.gate(partition)
        self._done: list[int] = []
        self._has_done = asyncio.Event()
        self._deleting = asyncio.create_task(self._keep_deleting())

    def mark_done(self, offset: int) -> None:
        super().mark_done(offset)
        self._done.append(offset)
        self._has_done.set()

    async def assign(self, partition: int) -> bool:  # noqa: ARG002
        return True

    def tracker(self, partition: int) -> OffsetTracker:  # noqa: ARG002
        return self

    def gate(self, partition: int) -> Gate:  # noqa: ARG002
        return self._gate

    async def is_due(self, record: Record, next_offset: int) -> bool:  # noqa: ARG002
        return True

    async def close(self) -> None:
        await self.records.aclose()
        self._deleting.cancel()
        await asyncio.wait((self._deleting,))
        with suppress(BrokerError):
            await self._delete()

    async def _read(self) -> AsyncGenerator[Record]:
        after = -1
        while True:
            try:
                events = await self._store.events(self.partition, after, _AT_A_TIME, wait_s=_WAIT_S)
            except BrokerError:
                await asyncio.sleep(_STORE_PAUSE_S)
                continue
            for event in events:
                yield event
                after = event.offset

    async def _keep_deleting(self) -> None:
        # Without delay: after a kill, done events that are still in the store are delivered again.
        while True:
            await self._has_done.wait()
            self._has_done.clear()
            try:
                await self._delete()
            except BrokerError:
                await asyncio.sleep(_STORE_PAUSE_S)
                self._has_done.set()

    async def _delete(self) -> None:
        done, self._done = self._done, []
        if not done:
            return
        try:
            await self._store.finish(self.partition, done)
        except BaseException:
            self._done = done + self._done
            raise


class PartitionAssignment:
    """Starts and stops the runners of events and of suspended endpoints, per partition."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        runner: PartitionRunner[int],
        suspended_endpoints: SuspensionManager,
        observer: Observer,
    ) -> None:
        self._store = store
        self._leases = leases
        self._runner = runner
        self._suspended_endpoints = suspended_endpoints
        self._observer = observer
        self._running: dict[int, str] = {}
        self._agents: dict[int, asyncio.Task[None]] = {}
        self._reported: set[int] = set()
        self._changed = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Acquire leases and run their partitions."""
        self._tasks = (
            asyncio.create_task(self._keep_assigned()),
            asyncio.create_task(self._keep_reporting()),
        )
        await self._leases.start(self._changed.set)

    async def close(self) -> None:
        """Stop all partitions, then release their leases."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stop(set(self._agents))
        await self._leases.close()

    async def _keep_assigned(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._assign()
            except Exception as error:  # noqa: BLE001
                if not isinstance(error, BrokerError):
                    # Without this task no partition would be started or stopped any more.
                    _log.error("worker.assignment_failed", exc_info=True)
                await asyncio.sleep(_STORE_PAUSE_S)
                self._changed.set()

    async def _assign(self) -> None:
        held = self._leases.held
        # A lease that was lost and regained counts as lost: another process may have held it.
        await self._stop({one for one, token in self._running.items() if held.get(one) != token})
        await self._leases.release(set(range(self._store.partitions)) - self._running.keys())
        # Read again: a lease may have been lost while the runners stopped.
        for one, token in self._leases.held.items():
            if one not in self._running:
                self._running[one] = token
                self._agents[one] = asyncio.create_task(self._deliver(one))
        await self._suspended_endpoints.assign(set(self._running))
        _log.info("worker.partitions_assigned", partitions=sorted(self._running))

    async def _stop(self, partitions: set[int]) -> None:
        for one in partitions:
            self._running.pop(one, None)
        await asyncio.gather(
            self._runner.stop(partitions), self._suspended_endpoints.stop(partitions)
        )
        if partitions:
            await asyncio.wait([self._agents[one] for one in partitions])
        for one in partitions:
            del self._agents[one]

    async def _deliver(self, partition: int) -> None:
        """Do what Faust's agent does with Kafka; begin again after a crash."""
        while partition in self._running:
            try:
                async with self._runner.open(partition) as running:
                    async for record in running.records():
                        await running.submit(record)
                return  # noqa: TRY300 - stopped
            except Exception as error:  # noqa: BLE001
                # A bug must not stop the partition: unfinished events are read again.
                self._observer.crashed("", error)
                await asyncio.sleep(_CRASH_PAUSE_S)

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self._runner.report()
            with suppress(BrokerError):
                await self._report_lag()

    async def _report_lag(self) -> None:
        for partition, count in enumerate(await self._store.unfinished()):
            if partition in self._running:
                metrics.LAG.labels(str(partition)).set(count)
                self._reported.add(partition)
            elif partition in self._reported:
                # The new owner reports the lag; two reports would count it twice.
                metrics.LAG.remove(str(partition))
                self._reported.discard(partition)
