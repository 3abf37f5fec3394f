"""Fairness between tenants: which replay of this process is next on a partition.

On Kafka one replay at a time holds a partition (`lease.py`). After a release, the first process
that looks gets it. A tenant with eight replay loops would get it eight times out of nine. Therefore
tenants take turns within a process, before the process competes with others.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hookseal.delivery.limits.concurrency import FairSemaphore
from hookseal.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def replay_busy() -> ConflictError:
    """Return the error for a replay that waited too long for another one."""
    return ConflictError(
        "replay_busy", "Another replay runs on this partition. Retry when it has ended."
    )


class ReplayTurns:
    """Runs one replay per partition at a time; tenants take turns."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._permits: dict[int, FairSemaphore] = defaultdict(lambda: FairSemaphore(1, None))

    @asynccontextmanager
    async def turn(
        self, partition: int, customer_id: str, wait_s: float | None
    ) -> AsyncIterator[float | None]:
        """Hold the turn of a tenant; yield the seconds that are left of `wait_s`.

        `wait_s` None = no limit. Replays of one tenant run in the order of their calls.

        Raises:
            ConflictError: `replay_busy`, after `wait_s` seconds.
        """
        permit, began = self._permits[partition], self._now()
        try:
            async with asyncio.timeout(wait_s):
                await permit.acquire(customer_id)
        except TimeoutError:
            raise replay_busy() from None
        try:
            yield None if wait_s is None else max(0.0, wait_s - (self._now() - began))
        finally:
            permit.release(customer_id)
