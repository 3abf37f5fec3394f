"""Not more than so many a second."""

from __future__ import annotations

import asyncio
import time

__all__ = ["Pace"]


class Pace:
    """Lets through so many a second, evenly, whoever asks."""

    def __init__(self, per_s: float | None) -> None:
        """Begin; None = as many as there are."""
        self.per_s = per_s
        self._next = time.monotonic()

    async def take(self, count: int) -> None:
        """Wait until so many may go."""
        if self.per_s is None:
            return
        now = time.monotonic()
        due = max(now, self._next)
        self._next = due + count / self.per_s
        await asyncio.sleep(due - now)
