"""What the operator decides about suspension."""

from __future__ import annotations

from dataclasses import dataclass, field

from hookseal.domain.backoff import Backoff

__all__ = ["SuspensionRules"]


@dataclass(frozen=True, slots=True)
class SuspensionRules:
    """When an endpoint is suspended, and how it is tried meanwhile.

    Attributes:
        after: Events in a row that were given up; 0 = no endpoint is ever suspended.
        probe: The waits between probes; how many there may be is not bounded.
        note_every_s: Seconds between two notes of how far the draining is: what was
            delivered since the last is delivered again after a crash.
        event_max_bytes: Of an event's value.
    """

    after: int = 10
    probe: Backoff = field(default_factory=lambda: Backoff(base_s=30.0, cap_s=3600.0))
    note_every_s: float = 0.5
    event_max_bytes: int = 32_768
