"""When an endpoint is suspended, and when the attempts at a deferred event end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookseal.domain.attempt import Outcome
from hookseal.domain.backoff import Backoff
from hookseal.domain.dead_letter import EXPIRED, REASONS
from hookseal.domain.verdict import Blame, Verdict, blame

if TYPE_CHECKING:
    from hookseal.delivery.attempt import AttemptResult

# Failed probes of the oldest event before newer ones show whether the event is at fault. With the
# default probe delays the fourth probe fails within 5 minutes: 30 + 30 + 60 + 120 s, plus jitter.
CLEAR_AFTER = 3
# Newer events that are attempted then: one more after each failed probe.
NEWER_MAX = 10


@dataclass(frozen=True, slots=True)
class SuspensionRules:
    """The operator's settings for suspensions.

    Attributes:
        after: Exhausted events in a row that suspend an endpoint; 0 = never suspend.
        give_up_s: Seconds from an event's first attempt until the event expires.
        probe: Delays between probes. Their number is not limited.
        note_every_s: Seconds between two writes of the position: a crash repeats the events that
            were delivered since.
        event_max_bytes: Limit of an event's value.
    """

    after: int = 1
    give_up_s: float = 259_200.0
    probe: Backoff = field(default_factory=lambda: Backoff(base_s=30.0, cap_s=3600.0))
    note_every_s: float = 0.5
    event_max_bytes: int = 32_768


@dataclass(slots=True)
class AttemptsSoFar:
    """The attempts at one deferred event.

    Attributes:
        made: All attempts, with those before the event was deferred.
        refused: Attempts in the backlog that failed by the event's fault.
        unclear: Failed attempts in a row whose fault is unclear.
        first_at: Unix seconds of the first attempt; None = none yet.
        is_noted: The dead letter has the time of the first attempt.
        status: The last HTTP status.
    """

    made: int
    first_at: float | None
    is_noted: bool
    refused: int = 0
    unclear: int = 0
    status: int | None = None

    def count(self, result: AttemptResult) -> Blame | None:
        """Count an attempt; return whose fault its failure is, None if it was accepted."""
        self.made += 1
        self.first_at = result.started if self.first_at is None else self.first_at
        self.status = result.status or self.status
        if result.judgement.verdict is Verdict.ACCEPTED:
            return None
        is_retry = result.judgement.verdict is Verdict.RETRY
        fault = blame(result.status) if is_retry else Blame.RECEIVER
        self.unclear = self.unclear + 1 if fault is Blame.UNCLEAR else 0
        self.refused += fault is Blame.EVENT
        return fault

    def outcome(self, code: str, error: str = "") -> Outcome:
        """Return the outcome of a delivery with these attempts."""
        is_accepted = code == "accepted"
        return Outcome(is_accepted, code, self.made, error, self.status, self.first_at)

    def expired(self) -> Outcome:
        """Return the outcome of an event that expired."""
        return self.outcome(EXPIRED, REASONS[EXPIRED])
