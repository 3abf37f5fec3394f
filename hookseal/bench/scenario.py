"""What is measured: sizes and counts that all runs share."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CUSTOMERS", "EVENT_BYTES", "PARTITIONS", "Scenario"]

PARTITIONS = 6
CUSTOMERS = 24
EVENT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of it.

    Attributes:
        events: Events in each run; one webhook each.
        rounds: How often each run is repeated, in turns; medians are reported.
        seals: Times that each kind of key seals in a round.
        waiting: Events behind the ones in backoff, where memory is measured; 0 = it is not.
    """

    events: int = 20_000
    rounds: int = 3
    seals: int = 1000
    waiting: int = 0
