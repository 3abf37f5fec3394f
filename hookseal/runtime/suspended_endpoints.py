"""Runs the backlogs of suspended endpoints on the partitions of this worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.delivery.ordering.partition import (
    PartitionContext,
    PartitionStoppedError,
    wait_idle,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from hookseal.config import Settings
    from hookseal.delivery.ordering.partition import Gate
    from hookseal.delivery.ports import Clock
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.telemetry.observer import Observer


class SuspendedEndpointRunner:
    """Gives each assigned partition a context of its own for deferred events.

    They are delivered whether new events arrive or not, and do not block new events.
    """

    def __init__(
        self,
        settings: Settings,
        suspensions: SuspensionManager,
        *,
        catch_up: Callable[[int], Coroutine[Any, Any, None]],
        gate: Callable[[int], Gate],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._suspensions = suspensions
        self._catch_up = catch_up
        self._grace_s = settings.shutdown_grace_s
        self._gate = gate
        self._options: dict[str, Any] = {
            "clock": clock,
            "observer": observer,
            "at_a_time": settings.max_in_flight,
            "each": settings.max_in_flight_per_customer,
        }
        self._contexts: dict[int, PartitionContext] = {}
        self._starting: set[asyncio.Task[None]] = set()

    async def assign(self, partitions: set[int]) -> None:
        """Start new partitions, and stop those that were revoked."""
        await self.stop(set(self._contexts) - partitions)
        for partition in sorted(partitions - set(self._contexts)):
            self._contexts[partition] = context = PartitionContext(
                partition, gate=self._gate(partition), **self._options
            )
            task = asyncio.create_task(self._start(context))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def stop(self, partitions: set[int] | None = None) -> None:
        """Stop these partitions, or all, in parallel."""
        going = set(self._contexts) if partitions is None else partitions & set(self._contexts)
        for partition in going:
            self._contexts.pop(partition).stop()
        await asyncio.gather(
            *(self._suspensions.stop(partition, grace_s=self._grace_s) for partition in going)
        )

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no attempt runs, at most `timeout_s` seconds."""
        await wait_idle(self._contexts.values(), timeout_s)

    async def _start(self, context: PartitionContext) -> None:
        # The tenants table may lag behind the commands that suspend and resume endpoints.
        try:
            await context.cancel_on_stop(self._catch_up(context.partition))
        except PartitionStoppedError:
            return
        if not context.stopped:
            self._suspensions.start(context)
