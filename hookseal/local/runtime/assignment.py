"""Runs deliveries for the partitions whose lease this process holds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from hookseal.errors import BrokerError
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.local.leases import Leases
    from hookseal.local.runtime.partition_runner import StorePartitionRunner
    from hookseal.local.store import Store

_log = structlog.stdlib.get_logger("hookseal.worker")

_REPORT_EVERY_S = 1.0
_STORE_PAUSE_S = 0.5


class PartitionAssignment:
    """Starts and stops the runners of events and of suspended endpoints, per partition."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        runner: StorePartitionRunner,
        suspended_endpoints: SuspensionManager,
    ) -> None:
        self._store = store
        self._all_partitions = frozenset(range(store.partitions))
        self._leases = leases
        self._runner = runner
        self._suspended_endpoints = suspended_endpoints
        self._running: dict[int, str] = {}
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
        await asyncio.gather(self._runner.stop(), self._suspended_endpoints.stop())
        await self._leases.close()

    async def _keep_assigned(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._assign()
            except BrokerError:
                await self._retry()
            except Exception:  # noqa: BLE001
                # Without this task no partition would be started or stopped any more.
                _log.error("worker.assignment_failed", exc_info=True)
                await self._retry()

    async def _retry(self) -> None:
        await asyncio.sleep(_STORE_PAUSE_S)
        self._changed.set()

    async def _assign(self) -> None:
        held = self._leases.held
        # A lease that was lost and regained counts as lost: another process may have held it.
        lost = {one for one, token in self._running.items() if held.get(one) != token}
        for one in lost:
            del self._running[one]
        if lost:
            await asyncio.gather(self._runner.stop(lost), self._suspended_endpoints.stop(lost))
        await self._leases.release(self._all_partitions - self._running.keys())
        # Read again: a lease may have been lost while the runners stopped.
        for one, token in self._leases.held.items():
            if one not in self._running:
                self._running[one] = token
                self._runner.start(one)
        await self._suspended_endpoints.assign(set(self._running))
        _log.info("worker.partitions_assigned", partitions=sorted(self._running))

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
