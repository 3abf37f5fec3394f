"""What became of the events, in figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.receivers import Accepted

__all__ = ["Done", "Report", "judge"]

_WATCHED_S = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """A fault as it happened; seconds from the beginning."""

    kind: str
    start_s: float
    end_s: float


@dataclass
class Report:
    """The result of a run.

    Attributes:
        dead_lettered: Events that were given up.
        set_aside: Events that waited on `dead-letters` for a suspended endpoint.
        lost: Deliveries of events on the log that were neither accepted nor given up.
        out_of_order: Deliveries whose first acceptance came after that of a later one of the same
            endpoint, and of the same ordering key in the mode `key`.
        repeats: Acceptances of an event that was accepted before.
        unknown_ids: Acceptances of ids that were never published.
        longest_pause_s: The longest time in which a partition with events delivered none.
        recovery_s: By kind of fault, for each of them the longest pause of a partition in
            the 30 s after it.
    """

    seed: int
    ordering: str
    seconds: float
    customers: int
    published: int = 0
    accepted: int = 0
    dead_lettered: int = 0
    set_aside: int = 0
    lost: int = 0
    out_of_order: int = 0
    repeats: int = 0
    unknown_ids: int = 0
    refused: int = 0
    kills: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    longest_pause_s: float = 0.0
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    drained_s: float = 0.0
    died_by_themselves: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    @property
    def promises_kept(self) -> bool:
        """Whether nothing was lost, in disorder, or under another id."""
        return self.lost == self.out_of_order == self.unknown_ids == 0 and self.accepted > 0

    def lines(self) -> list[str]:
        """Return what a person reads."""
        recovery = {
            kind: f"{sorted(each)[len(each) // 2]:.1f} (longest {max(each):.1f})"
            for kind, each in self.recovery_s.items()
        }
        return [
            f"seed {self.seed}, order {self.ordering}, {self.seconds:.0f} s, {self.kills} kills",
            f"faults: {self.faults}",
            f"published {self.published}, accepted {self.accepted}",
            f"dead-lettered {self.dead_lettered}; refused attempts {self.refused}",
            f"set aside while an endpoint was suspended: {self.set_aside}",
            f"lost {self.lost}, out of order {self.out_of_order}",
            f"repeats {self.repeats}, ids kept: {self.unknown_ids == 0}",
            f"longest pause of a partition: {self.longest_pause_s:.1f} s",
            f"drained {self.drained_s:.1f} s after the last event",
            f"recovery, median s by fault: {recovery}",
            f"workers that ended by themselves: {len(self.died_by_themselves)}",
            *self.examples[:10],
        ]


def judge(
    report: Report,
    *,
    log: Mapping[str, Sequence[str]],
    dead: Iterable[tuple[str, str]],
    accepted: Mapping[str, Sequence[Accepted]],
    ordering_keys: int,
) -> None:
    """Fill in what was lost, in disorder and repeated.

    Args:
        report: To fill.
        log: By receiver, the ids of its events in the order of the log, each once.
        dead: Dead letters: receiver and event id.
        accepted: By receiver, what it accepted, in order.
        ordering_keys: An event waits for those whose number is the same modulo this.
    """
    buried = set(dead)
    report.published = sum(len(ids) for ids in log.values())
    report.dead_lettered = len(buried)
    for receiver, ids in log.items():
        place = {event_id: number for number, event_id in enumerate(ids)}
        first: dict[str, None] = {}
        for one in accepted.get(receiver, ()):
            if one.event_id not in place:
                report.unknown_ids += 1
                report.examples.append(f"unknown: {one.event_id} at {one.at_s:.1f} s")
            elif one.event_id in first:
                report.repeats += 1
            else:
                first[one.event_id] = None
        report.accepted += len(first)
        missing = [
            event_id
            for event_id in ids
            if event_id not in first and (receiver, event_id) not in buried
        ]
        report.lost += len(missing)
        report.examples += [f"lost: {receiver} {event_id}" for event_id in missing]
        for ordering_key in range(ordering_keys):
            of_key = [one for one in first if _number(one) % ordering_keys == ordering_key]
            for one_id, next_id in pairwise(of_key):
                if place[next_id] < place[one_id]:
                    report.out_of_order += 1
                    report.examples.append(f"out of order: {receiver} {next_id} after {one_id}")


def _number(event_id: str) -> int:
    return int(event_id.rpartition("-")[2])


def pauses(report: Report, by_partition: Mapping[int, Sequence[float]], done: list[Done]) -> None:
    """Fill in how long partitions stood still.

    Args:
        report: To fill.
        by_partition: The seconds of each partition's acceptances, in order.
        done: The faults.
    """
    gaps = [pair for times in by_partition.values() for pair in pairwise(times)]
    report.longest_pause_s = max((end - start for start, end in gaps), default=0.0)
    for fault in done:
        report.faults[fault.kind] = report.faults.get(fault.kind, 0) + 1
        watched = fault.start_s + _WATCHED_S
        after = [
            end - max(start, fault.start_s)
            for start, end in gaps
            if end > fault.start_s and start < watched
        ]
        report.recovery_s.setdefault(fault.kind, []).append(round(max(after, default=0.0), 2))


def as_json(report: Report) -> dict[str, Any]:
    """Return the report for a file."""
    return {**vars(report), "promises_kept": report.promises_kept}
