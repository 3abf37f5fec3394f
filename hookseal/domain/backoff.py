"""Retry policy: capped exponential backoff with proportional jitter.

Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Proportional rather than
full jitter: an operator recognises the schedule of the settings in the log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """A schedule of attempts, counted from 1.

    Attributes:
        base_s: Seconds after the first failed attempt, > 0.
        factor: Growth from one delay to the next, >= 1.
        cap_s: Longest delay in seconds, before jitter.
        jitter: Each delay is multiplied by a uniform draw from 1 ± jitter, in [0, 1).
        delays_s: Explicit delays instead of the formula; n delays are n + 1 attempts.
        within_s: Seconds from the first attempt after which a failed attempt is the last one;
            None = no limit.
    """

    base_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.2
    max_attempts: int = 5
    delays_s: tuple[float, ...] | None = None
    within_s: float | None = None

    @property
    def attempts(self) -> int:
        """Attempts in all, the first included."""
        return self.max_attempts if self.delays_s is None else len(self.delays_s) + 1

    def with_delays(self, delays_s: tuple[float, ...], *, total_s: float) -> Backoff:
        """Return the schedule with other delays, cut where their sum exceeds `total_s`."""
        left_s, kept = total_s, []
        for delay_s in delays_s:
            kept.append(min(delay_s, left_s))
            left_s -= delay_s
            if left_s <= 0:
                break
        return replace(self, delays_s=tuple(kept), within_s=total_s)

    def is_last(self, attempt: int, elapsed_s: float) -> bool:
        """Return whether no attempt follows this one, which began so long after the first."""
        if attempt >= self.attempts:
            return True
        return self.within_s is not None and elapsed_s >= self.within_s * (1 + self.jitter)

    def delay_after(self, attempt: int, *, draw: float, at_least_s: float = 0.0) -> float:
        """Return the seconds to wait after a failed attempt; ValueError if attempt < 1.

        `draw` is uniform from [0, 1], `at_least_s` the receiver's `Retry-After`, already clamped.
        """
        return max(at_least_s, self._planned(attempt) * (1 + self.jitter * (2 * draw - 1)))

    def longest_delay_after(self, attempt: int) -> float:
        """Return the upper bound of `delay_after` in seconds, without `Retry-After`."""
        return self.delay_after(attempt, draw=1.0)

    def _planned(self, attempt: int) -> float:
        if attempt < 1:
            raise ValueError("attempts are counted from 1")
        if self.delays_s is not None:
            return self.delays_s[min(attempt, len(self.delays_s)) - 1] if self.delays_s else 0.0
        try:
            return min(self.cap_s, self.base_s * self.factor ** (attempt - 1))
        except OverflowError:
            # 2.0 ** 1024: an operator may set the attempts to "forever".
            return self.cap_s
