"""Pauses between retries, and log lines that repeat with them."""

from __future__ import annotations


class RetryDelay:
    """Exponential pauses in seconds: `first_s`, then twice as long each time, up to `cap_s`."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Return the next pause."""
        pause_s, self._next_s = self._next_s, min(self._cap_s, self._next_s * 2)
        return pause_s

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._next_s = self._first_s


class LogThrottle:
    """Lets one log line through at once, then one a minute, for each key."""

    _EVERY_S = 60.0

    def __init__(self) -> None:
        self._next: dict[object, float] = {}
        self._count: dict[object, int] = {}

    def lines(self, now: float, key: object = None) -> int:
        """Return how many lines this one stands for; 0 = do not log it.

        `now` is in seconds of a monotonic clock. Lines of each key are counted separately.
        """
        count = self._count.get(key, 0) + 1
        if now < self._next.get(key, now):
            self._count[key] = count
            return 0
        self._next[key], self._count[key] = now + self._EVERY_S, 0
        return count
