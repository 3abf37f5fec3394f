"""Detects tenants whose deliveries all fail at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

STORM_PER_MINUTE = 60
_MINUTE_S = 60.0
# Tenants counted at a time. Beyond it the one that began first is forgotten.
_WATCHED = 10_000


class StormWatch:
    """Counts dead letters by tenant and minute, in bounded memory.

    It only reports. Failed events are dead-lettered in order as always.
    """

    def __init__(
        self, per_minute: int = STORM_PER_MINUTE, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A storm is `per_minute` dead letters of one tenant within a minute."""
        self.per_minute = per_minute
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}

    def note(self, customer_id: str) -> bool:
        """Count a dead letter; return whether a storm begins or enters a new minute."""
        now = self._clock()
        since, count = self._counts.get(customer_id, (now, 0))
        if now - since >= _MINUTE_S:
            since, count = now, 0
        if count == 0:
            # Newest last, so that the one that is forgotten began first.
            self._counts.pop(customer_id, None)
            if len(self._counts) >= _WATCHED:
                del self._counts[next(iter(self._counts))]
        self._counts[customer_id] = (since, count + 1)
        return count + 1 == self.per_minute

    def count(self) -> float:
        """Return the number of tenants in a storm now."""
        now = self._clock()
        return float(
            sum(
                count >= self.per_minute and now - since < _MINUTE_S
                for since, count in tuple(self._counts.values())
            )
        )
