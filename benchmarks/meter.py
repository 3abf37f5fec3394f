"""From counts to rates, without the start and the end of a run."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Before the first tenth connections are made and caches filled; after the ninth partitions
# run dry one by one.
_FROM, _TO = 0.1, 0.9


class Sample(NamedTuple):
    """How far a run was at a moment."""

    at_s: float  # Seconds, of any clock that goes on
    done: int  # Events so far
    cpu_s: float  # CPU seconds of the process so far, user and system, all its threads


class Pace(NamedTuple):
    """What a run came to."""

    per_s: float  # Events a second
    cpu_us: float  # Microseconds of CPU for each


def pace_of(samples: Sequence[Sample], total: int) -> Pace:
    """Return the pace between a tenth and nine tenths of the events."""
    first = next((i for i, sample in enumerate(samples) if sample.done >= total * _FROM), 0)
    last = next((i for i, sample in enumerate(samples) if sample.done >= total * _TO), first)
    # A run so short that one sample saw both is measured from the one before.
    start, end = samples[max(0, min(first, last - 1))], samples[last]
    done = end.done - start.done
    if done <= 0 or end.at_s <= start.at_s:
        raise HooksealError("bench_too_short", "The run is too short to measure; add events.")
    return Pace(done / (end.at_s - start.at_s), (end.cpu_s - start.cpu_s) / done * 1e6)


def paces_figures(paces: Sequence[Pace]) -> dict[str, Any]:
    """Return the medians of several runs, and the rate of each."""
    return {
        "per_s": median(pace.per_s for pace in paces),
        "cpu_us": median(pace.cpu_us for pace in paces),
        "rates": [pace.per_s for pace in paces],
    }


class Meter:
    """Counts in the process that is measured itself."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._marks = (int(total * _FROM), int(total * _TO), total)
        self._done = 0
        self._samples = [self._sample()]

    def count(self) -> bool:
        """Count one event; return whether it was the last."""
        self._done += 1
        if self._done in self._marks:
            self._samples.append(self._sample())
        return self._done == self._total

    def pace(self) -> Pace:
        """Return the pace."""
        return pace_of(self._samples, self._total)

    def _sample(self) -> Sample:
        return Sample(time.perf_counter(), self._done, time.process_time())
