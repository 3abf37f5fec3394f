"""Seen deliveries in this process: for one process, and until it ends."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from hookseal_receiver.repeats.port import DEFAULT_BOUNDS, Bounds, Claim, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `Store` in memory; 100,000 deliveries need some 30 MB.

    Args:
        bounds: How much is kept, and how long.
        clock: Returns seconds that do not go back.
    """

    def __init__(
        self,
        *,
        bounds: Bounds = DEFAULT_BOUNDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        # Token and end of each claim; time of each delivery that was seen, oldest first.
        self._running: dict[str, tuple[str, float]] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen) + len(self._running)

    def claim(self, delivery: str) -> Claim:
        """Claim a delivery, or return its standing."""
        with self._lock:
            now = self._clock()
            self._forget(now)
            if delivery in self._seen:
                return Claim(delivery, Standing.SEEN)
            if delivery in self._running:
                _, until = self._running[delivery]
                return Claim(delivery, Standing.RUNNING, free_in_s=until - now)
            claim = Claim(delivery, Standing.NEW, secrets.token_hex(8))
            self._running[delivery] = (claim.token, now + self._bounds.lease_s)
            return claim

    def finish(self, claim: Claim) -> None:
        """Record the delivery as seen."""
        with self._lock:
            self._running.pop(claim.delivery, None)
            self._seen[claim.delivery] = self._clock()
            self._seen.move_to_end(claim.delivery)
            self._forget(self._clock())

    def release(self, claim: Claim) -> None:
        """Release the claim, if this one still holds it."""
        with self._lock:
            token, _ = self._running.get(claim.delivery, ("", 0.0))
            if token == claim.token:
                self._running.pop(claim.delivery, None)

    def _forget(self, now: float) -> None:
        # Leases are equally long and dicts keep their order, so that those at the front end
        # first; the same holds for the ages of what was seen.
        while self._running and next(iter(self._running.values()))[1] <= now:
            self._running.pop(next(iter(self._running)))
        while self._seen and (
            len(self._seen) > self._bounds.max_entries
            or next(iter(self._seen.values())) <= now - self._bounds.max_age_s
        ):
            self._seen.popitem(last=False)
