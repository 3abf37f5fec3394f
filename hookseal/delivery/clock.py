"""The real clock and real chance."""

from __future__ import annotations

import asyncio
import random
import time

__all__ = ["SystemClock"]


class SystemClock:
    """`Clock` over the system's."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch."""
        return time.time()

    def draw(self) -> float:
        """Return a uniform draw from [0, 1). Jitter needs no secrecy."""
        return random.random()  # noqa: S311

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
