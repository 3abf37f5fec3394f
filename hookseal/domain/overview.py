"""Statistics of the latest attempts: rate, latency, deliveries in backoff."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal.domain.letter import Attempted

_HELD_SHOWN = 5
_ACCEPTED = "accepted"


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
    return Overview(
        seconds={second: (accepted[second], failed[second]) for second in {*accepted, *failed}},
        p50_us=_share(durations, 0.5),
        p99_us=_share(durations, 0.99),
        partitions=[
            PartitionState(
                partition,
                totals[partition],
                good[partition],
                sorted(last[partition].values(), key=lambda one: one.at_ms)[:_HELD_SHOWN],
            )
            for partition in sorted(totals)
        ],
    )


def _share(ordered: list[int], share: float) -> int | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
