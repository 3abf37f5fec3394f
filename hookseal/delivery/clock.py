"""The system's clock and randomness."""

from __future__ import annotations

import asyncio
import random
import time


class SystemClock:
    """Implements `Clock`."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch."""
        return time.time()

    def draw(self) -> float:
        """Return a uniform random number from [0, 1)."""
        return random.random()  # noqa: S311 - jitter needs no secrecy

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)
