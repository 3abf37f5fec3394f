"""Rate limit of a replay."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Lets `per_s` records a second through, evenly; None = no limit."""

    def __init__(self, per_s: float | None) -> None:
        self.per_s = per_s
        self._next = time.monotonic()

    async def take(self, count: int) -> None:
        """Wait until so many records may be published."""
        if self.per_s is None:
            return
        now = time.monotonic()
        due = max(now, self._next)
        self._next = due + count / self.per_s
        await asyncio.sleep(due - now)
