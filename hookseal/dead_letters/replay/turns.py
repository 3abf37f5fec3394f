"""Turns of tenants: which replay of this process is next on a partition.

On Kafka one replay at a time holds a partition (`lease.py`). The first process that looks after a
release gets it, so a tenant with eight replay loops would get it eight times of nine. Therefore
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
    """Return the error for a replay that waited for another one for too long."""
    return ConflictError(
        "replay_busy",
        "Another replay is under way on this partition; ask again when it is done.",
    )


def _one_at_a_time() -> FairSemaphore:
    return FairSemaphore(1, None)


class ReplayTurns:
    """Lets one replay of each partition run at a time, tenants in turns."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._rooms: dict[int, FairSemaphore] = defaultdict(_one_at_a_time)

    @asynccontextmanager
    async def turn(
        self, partition: int, customer_id: str, wait_s: float | None
    ) -> AsyncIterator[float | None]:
        """Wait for the turn and hold it; yield the seconds that are left of `wait_s`.

        Args:
            partition: Counted from 0.
            customer_id: Whose replay; one tenant's replays run in the order they came.
            wait_s: Seconds to wait at most; None = as long as it takes.

        Raises:
            ConflictError: `replay_busy`, after `wait_s` seconds.
        """
        room, began = self._rooms[partition], self._now()
        try:
            async with asyncio.timeout(wait_s):
                await room.acquire(customer_id)
        except TimeoutError:
            raise replay_busy() from None
        try:
            yield None if wait_s is None else max(0.0, wait_s - (self._now() - began))
        finally:
            room.release(customer_id)
