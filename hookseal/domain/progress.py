"""Progress of the workers: the worker and the state of each partition, and its oldest event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hookseal.domain.letter import Attempted

PartitionStateName = Literal[
    "idle", "delivering", "backoff", "not_attempted", "open_transaction", "rebalancing", "no_worker"
]

# An attempt may take 15 s, and the delivery log is written with a delay.
_ATTEMPTED_WITHIN_MS = 30_000
_REBALANCING = frozenset({"PreparingRebalance", "CompletingRebalance"})


class Worker(NamedTuple):
    """A worker, and the partitions of `events` that it is assigned."""

    id: str
    client_id: str
    host: str
    partitions: tuple[int, ...]


class OldestEvent(NamedTuple):
    """The oldest event of a partition that is not done. `customer_id` is None for a broadcast."""

    offset: int
    at_ms: int
    customer_id: str | None
    event_id: str


class PartitionProgress(NamedTuple):
    """The offsets of one partition of `events`.

    Attributes:
        committed: The committed offset; None without Kafka, and before the first commit.
        start: Offsets below it are done, or retention removed them.
        end: The last stable offset; None without Kafka.
        lag: Offsets up to `end` that are not done.
        done: Ranges of offsets above `start` that are done.
        open_since_ms: Time of the first record of an open transaction, in Unix milliseconds.
    """

    partition: int
    lag: int
    committed: int | None = None
    start: int = 0
    end: int | None = None
    done: tuple[tuple[int, int], ...] = ()
    oldest: OldestEvent | None = None
    open_since_ms: int | None = None

    def is_done(self, offset: int) -> bool:
        """Return whether the event at this offset is accepted, dead-lettered or deferred."""
        return offset < self.start or any(start <= offset < end for start, end in self.done)

    def waiting_before(self, offset: int) -> int:
        """Return the number of offsets below this one that are not done."""
        done = sum(min(end, offset) - start for start, end in self.done if start < offset)
        return max(0, offset - self.start - done)


class Progress(NamedTuple):
    """Progress of all partitions.

    Attributes:
        group: The consumer group; None without Kafka.
        state: Its state, as Kafka names it: `Stable`, `Empty`, `PreparingRebalance`, …
    """

    group: str | None
    state: str | None
    workers: Sequence[Worker]
    partitions: Sequence[PartitionProgress]

    @property
    def is_rebalancing(self) -> bool:
        """Whether the group assigns its partitions at the moment."""
        return self.state in _REBALANCING

    def worker_of(self, partition: int) -> Worker | None:
        """Return the worker that is assigned the partition, or None."""
        return next((one for one in self.workers if partition in one.partitions), None)


class PartitionState(NamedTuple):
    """Why the oldest event of a partition waits.

    Attributes:
        since_ms: Unix milliseconds since when it waits; None = unknown, or nothing waits.
        held_by: The latest attempt of the delivery in backoff.
    """

    name: PartitionStateName
    since_ms: int | None = None
    held_by: Attempted | None = None


def state_of(
    found: PartitionProgress,
    *,
    worker: Worker | None,
    is_rebalancing: bool,
    attempts: Sequence[Attempted],
    now_ms: int,
) -> PartitionState:
    """Return the state of a partition; `attempts` are those of its oldest event."""
    since_ms = None if found.oldest is None else found.oldest.at_ms
    if worker is None:
        return PartitionState("rebalancing" if is_rebalancing else "no_worker", since_ms)
    if found.lag == 0:
        if found.open_since_ms is not None:
            return PartitionState("open_transaction", found.open_since_ms)
        return PartitionState("idle")
    failed = [one for one in latest_attempts(attempts) if is_in_backoff(one)]
    if failed:
        held_by = min(failed, key=lambda one: one.at_ms)
        return PartitionState("backoff", since_ms, held_by)
    if not attempts and since_ms is not None and now_ms - since_ms > _ATTEMPTED_WITHIN_MS:
        return PartitionState("not_attempted", since_ms)
    return PartitionState("delivering", since_ms)


def latest_attempts(attempts: Iterable[Attempted]) -> list[Attempted]:
    """Return the latest attempt at each endpoint."""
    latest: dict[str, Attempted] = {}
    for one in sorted(attempts, key=lambda one: (one.at_ms, one.attempt)):
        latest[one.endpoint_id] = one
    return list(latest.values())


def is_in_backoff(latest: Attempted) -> bool:
    """Return whether another attempt follows this one, the latest of its delivery."""
    return latest.code != "accepted" and latest.attempt < latest.attempt_max
