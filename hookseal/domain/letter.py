"""Dead letters and attempts in lists, without payload and headers, and statistics of attempts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.domain.dead_letter import category_of
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

_HELD_SHOWN = 5
_ACCEPTED = "accepted"


class LogCursor(NamedTuple):
    """Position after which the next page begins."""

    at_ms: int
    partition: int
    offset: int


class Letter(NamedTuple):
    """A dead letter in the index. Times are in Unix milliseconds.

    `at_ms` is when the delivery failed. `reason` is one of `REASONS`, or of a later release.
    `replayed_at_ms` is None unless the dead letter was published again.
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
        """Return the dead letter for JSON."""
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
    """An attempt in the index; see `AttemptRecord`. `at_ms` is when it ended, in Unix ms.

    `event_offset` is the offset of its event on `events`, in the same partition.
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
    event_offset: int

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


class PartitionState(NamedTuple):
    """One partition within the window; `held` is the latest attempt of deliveries in backoff."""

    partition: int
    attempts: int
    accepted: int
    held: list[Attempted]


class Overview(NamedTuple):
    """Statistics of the window.

    Attributes:
        seconds: Accepted and failed attempts, by Unix second.
        p50_us: Microseconds of an accepted attempt; None without one.
    """

    seconds: dict[int, tuple[int, int]]
    p50_us: int | None
    p99_us: int | None
    partitions: list[PartitionState]


def overview_of(attempts: Iterable[Attempted]) -> Overview:
    """Return the statistics of the window's attempts, which are in order within a partition."""
    accepted: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    durations: list[int] = []
    totals: Counter[int] = Counter()
    good: Counter[int] = Counter()
    last: dict[int, dict[tuple[str, str], Attempted]] = {}
    for one in attempts:
        totals[one.partition] += 1
        waiting = last.setdefault(one.partition, {})
        delivery = (one.endpoint_id, one.event_id)
        # Removed first, so that it goes behind the others: the dict keeps the order of attempts.
        waiting.pop(delivery, None)
        if one.code == _ACCEPTED:
            accepted[one.at_ms // 1000] += 1
            good[one.partition] += 1
            durations.append(one.duration_us)
        else:
            failed[one.at_ms // 1000] += 1
            if one.attempt < one.attempt_max:
                waiting[delivery] = one
    durations.sort()
    partitions = [
        PartitionState(
            partition,
            totals[partition],
            good[partition],
            sorted(last[partition].values(), key=lambda one: one.at_ms)[:_HELD_SHOWN],
        )
        for partition in sorted(totals)
    ]
    return Overview(
        seconds={second: (accepted[second], failed[second]) for second in {*accepted, *failed}},
        p50_us=_share(durations, 0.5),
        p99_us=_share(durations, 0.99),
        partitions=partitions,
    )


def _share(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
