"""Dead letters and attempts in lists, without payload and headers."""

from __future__ import annotations

from typing import Any, NamedTuple

from hookseal.domain.dead_letter import category_of
from hookseal.domain.utc_time import rfc3339


class LogCursor(NamedTuple):
    """Position after which the next page begins."""

    at_ms: int
    partition: int
    offset: int


class Letter(NamedTuple):
    """A dead letter in the index.

    Attributes:
        partition: Partition of `dead-letters`.
        at_ms: When the delivery failed; milliseconds since the Unix epoch.
        endpoint_id: The endpoint of the delivery, if one was chosen.
        reason: One of `REASONS`, or of a later release.
        status: The last HTTP status, if any.
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
        """Where the page after this letter begins."""
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
    """One page, and where the next one begins; None = it was the last."""

    letters: list[Letter]
    next_cursor: LogCursor | None


class Attempted(NamedTuple):
    """An attempt in the index; see `AttemptRecord`. `at_ms` is when it ended, in Unix ms."""

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
        """Where the page after this attempt begins."""
        return LogCursor(self.at_ms, self.partition, self.offset)

    def document(self) -> dict[str, Any]:
        """Return the attempt for JSON, without the worker: tenants need not know it."""
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
    """One page, and where the next one begins; None = it was the last."""

    attempts: list[Attempted]
    next_cursor: LogCursor | None


class ReplayPlan(NamedTuple):
    """Dead letters that match a replay, counted before it runs.

    Attributes:
        replayed: Published before; they are skipped.
        not_replayable: Not valid events, so they would fail again.
    """

    to_replay: int
    replayed: int
    not_replayable: int
