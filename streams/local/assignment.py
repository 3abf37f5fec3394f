"""Keeps what runs to what is ours: partitions come, and partitions go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from hookseal.errors import BrokerError
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from hookseal.local.leases import Leases
    from hookseal.local.store import Store
    from streams.local.partition_runner import StorePartitionRunner
    from streams.suspended_endpoints import SuspendedEndpointRunner

_log = structlog.stdlib.get_logger("hookseal.worker")

_REPORT_EVERY_S = 1.0
_STORE_PAUSE_S = 0.5


class Holding:
    """Starts and stops lanes and drains, partition by partition."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        runner: StorePartitionRunner,
        suspended_endpoints: SuspendedEndpointRunner,
    ) -> None:
        self._store = store
        self._every = frozenset(range(store.partitions))
        self._leases = leases
        self._runner = runner
        self._suspended_endpoints = suspended_endpoints
        self._running: dict[int, str] = {}
        self._told: set[int] = set()
        self._changed = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Begin to hold partitions."""
        self._tasks = (
            asyncio.create_task(self._keep_holding()),
            asyncio.create_task(self._keep_reporting()),
        )
        await self._leases.start(self._changed.set)

    async def close(self) -> None:
        """Let everything go, then leave it to others."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(self._runner.stop(), self._suspended_endpoints.stop())
        await self._leases.close()

    async def _keep_holding(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._hold()
            except BrokerError:
                await self._again()
            except Exception:  # noqa: BLE001
                # Without it nothing would be begun or let go of any more.
                _log.error("worker.assignment_failed", exc_info=True)
                await self._again()

    async def _again(self) -> None:
        await asyncio.sleep(_STORE_PAUSE_S)
        self._changed.set()

    async def _hold(self) -> None:
        held = self._leases.held
        # Also what went and came back meanwhile: another one may have had it.
        going = {one for one, token in self._running.items() if held.get(one) != token}
        for one in going:
            del self._running[one]
        if going:
            await asyncio.gather(self._runner.stop(going), self._suspended_endpoints.stop(going))
        await self._leases.release(self._every - self._running.keys())
        # As it is by now: a partition may have gone while others were let go of.
        for one, token in self._leases.held.items():
            if one not in self._running:
                self._running[one] = token
                self._runner.start(one)
        await self._suspended_endpoints.assign(set(self._running))
        _log.info("worker.assigned", partitions=sorted(self._running))

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
                self._told.add(partition)
            elif partition in self._told:
                # Whoever has it now tells its lag; two would count it twice.
                metrics.LAG.remove(str(partition))
                self._told.discard(partition)
