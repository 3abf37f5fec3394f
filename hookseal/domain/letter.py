"""Dead letters and attempts in lists: without payload and headers."""

from __future__ import annotations

from typing import Any, NamedTuple

from hookseal.domain.dead_letter import category_of
from hookseal.domain.utc_time import rfc3339


class LogCursor(NamedTuple):
    """The last item of a page, from which the next one goes on."""

    at_ms: int
    partition: int
    offset: int


class Letter(NamedTuple):
    """A letter as the index knows it: all but its headers and its payload.

    Attributes:
        partition: Partition of `dead-letters`.
        offset: Offset on `dead-letters`.
        at_ms: When the delivery failed; milliseconds since the Unix epoch.
        endpoint_id: The endpoint of the delivery, if one was chosen.
        reason: One of `REASONS`, or of a later release.
        event_type: The event's, if it is known.
        status: The last HTTP status, if there was any.
        replayed_at_ms: When it was published again; None = it was not.
    """

    partition: int
    offset: int
    at_ms: int
    customer_id: str | None
    endpoint_id: str | None
    reason: str | None
    error: str | None
    event_id: str | None
    event_type: str | None
    attempts: int | None
    status: int | None
    replayed_at_ms: int | None

    @property
    def cursor(self) -> LogCursor:
        """Where a page that ends with this letter goes on."""
        return LogCursor(self.at_ms, self.partition, self.offset)

    def document(self) -> dict[str, Any]:
        """Return the letter for JSON."""
        replayed = self.replayed_at_ms
        return {
            "id": f"{self.partition}/{self.offset}",
            "partition": self.partition,
            "offset": self.offset,
            "customer_id": self.customer_id,
            "endpoint_id": self.endpoint_id,
            "reason": self.reason,
            "category": category_of(self.reason or ""),
            "error": self.error,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "attempts": self.attempts,
            "status": self.status,
            "failed_at": rfc3339(self.at_ms / 1000),
            "replayed_at": None if replayed is None else rfc3339(replayed / 1000),
        }


class LettersListed(NamedTuple):
    """One page of a list, and where the next one begins; None = that was the last."""

    letters: list[Letter]
    next_cursor: LogCursor | None


class Attempted(NamedTuple):
    """One attempt; the fields are those of `AttemptRecord`.

    Attributes:
        at_ms: When it ended; milliseconds since the Unix epoch.
        duration_us: Microseconds from connect to last byte.
    """

    partition: int
    offset: int
    at_ms: int
    customer_id: str
    event_id: str
    event_type: str
    endpoint_id: str
    attempt: int
    attempt_max: int
    code: str
    status: int | None
    duration_us: int
    kid: str
    worker: str

    @property
    def cursor(self) -> LogCursor:
        """Where a page that ends with this attempt goes on."""
        return LogCursor(self.at_ms, self.partition, self.offset)

    def document(self) -> dict[str, Any]:
        """Return the attempt for JSON: without the worker, which is the platform's affair."""
        return {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "endpoint_id": self.endpoint_id,
            "attempt": self.attempt,
            "attempt_max": self.attempt_max,
            "code": self.code,
            "status": self.status,
            "duration_s": self.duration_us / 1_000_000,
            "kid": self.kid,
            "at": rfc3339(self.at_ms / 1000),
        }


class AttemptsListed(NamedTuple):
    """One page of a list, and where the next one begins; None = that was the last."""

    attempts: list[Attempted]
    next_cursor: LogCursor | None


class ReplayPlan(NamedTuple):
    """Counts of a replay before it runs.

    Attributes:
        replayed: Letters that match and were published before; they stay as they are.
        not_replayable: Letters that match and would fail again: they are no events.
    """

    to_replay: int
    replayed: int
    not_replayable: int
