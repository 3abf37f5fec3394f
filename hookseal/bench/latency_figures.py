"""From moments to latencies, and from these to figures."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.bench.open_loop import event_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.bench.open_loop import Plan, Sent

__all__ = [
    "LATENCY_COLUMNS",
    "LatencyRun",
    "Spread",
    "latencies_of",
    "latency_figures",
    "latency_rows",
    "spread_of",
]

LATENCY_COLUMNS = (
    "load",
    "due per s",
    "arrived per s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "p99 of all rounds",
    "publisher late, max ms",
    "machine busy",
)


class Spread(NamedTuple):
    """Milliseconds that so many of a hundred did not exceed; `max_ms`, that none did."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """One load for a while, its warm-up left out of all but the books.

    Attributes:
        due_per_s: Events a second that were due.
        arrived_per_s: Events a second that arrived, from the first that was due to the last
            that arrived.
        latencies_s: Of each event that arrived, from when it was due to its first arrival.
        events: Published, warm-up included.
        arrived: Of these, how many arrived at all.
        repeats: Arrivals of what had arrived before.
        sent: How well the publisher kept its schedule.
        share: Of what a worker drains.
        ordering: The worker's.
        machine_busy: Share of all its cores that was in use, by whomever: near 1 the figures
            are those of a machine that is too small.
    """

    due_per_s: float
    arrived_per_s: float
    latencies_s: tuple[float, ...]
    events: int
    arrived: int
    repeats: int
    sent: Sent
    share: float = 0.0
    ordering: str = "partition"
    machine_busy: float = 0.0

    @property
    def is_exact(self) -> bool:
        """Whether each event arrived once."""
        return self.arrived == self.events and self.repeats == 0


def latencies_of(
    plan: Plan,
    moments: Sequence[float],
    sent: Sent,
    arrivals: Sequence[tuple[float, str]],
    *,
    warm_up_s: float,
) -> LatencyRun:
    """Pair the events of a plan with their arrivals.

    Args:
        plan: What was published.
        moments: When each event was due, in seconds from when the plan began.
        sent: How that went.
        arrivals: Moment (`time.monotonic`) and event id of each request, of other plans too.
        warm_up_s: Seconds of the plan that are left out.
    """
    due = {event_id(number): sent.began_s + at_s for number, at_s in enumerate(moments, plan.first)}
    first: dict[str, float] = {}
    requests = 0
    for at_s, name in arrivals:
        if name in due:
            requests += 1
            first[name] = min(at_s, first.get(name, at_s))
    counted_from = sent.began_s + warm_up_s
    counted = [name for name, at_s in due.items() if at_s >= counted_from]
    arrived = [name for name in counted if name in first]
    last = max((first[name] for name in arrived), default=counted_from)
    return LatencyRun(
        due_per_s=len(counted) / (plan.seconds - warm_up_s),
        arrived_per_s=len(arrived) / max(last - counted_from, plan.seconds - warm_up_s),
        latencies_s=tuple(first[name] - due[name] for name in arrived),
        events=len(due),
        arrived=len(first),
        repeats=requests - len(first),
        sent=sent,
    )


def spread_of(latencies_s: Sequence[float]) -> Spread:
    """Return the percentiles of seconds, in milliseconds."""
    of_a_hundred = quantiles(latencies_s, n=100, method="inclusive")
    found = (of_a_hundred[49], of_a_hundred[89], of_a_hundred[98], max(latencies_s))
    return Spread(*(1000 * seconds for seconds in found))


def latency_figures(runs: Sequence[LatencyRun], broker: str) -> dict[str, Any]:
    """Return all figures: each run, and medians for each share."""
    raw = [_raw(run) for run in runs]
    return {
        "broker": broker,
        "ordering": runs[0].ordering,
        "runs": raw,
        "loads": [
            _medians([run for run in raw if run["share"] == share])
            for share in sorted({run.share for run in runs})
        ],
        "exact": all(run.is_exact for run in runs),
    }


def _raw(run: LatencyRun) -> dict[str, Any]:
    return {
        "share": run.share,
        "due_per_s": run.due_per_s,
        "arrived_per_s": run.arrived_per_s,
        **spread_of(run.latencies_s)._asdict(),
        "lag_max_ms": 1000 * run.sent.lag_max_s,
        "lag_p99_ms": 1000 * run.sent.lag_p99_s,
        "events": run.events,
        "arrived": run.arrived,
        "machine_busy": run.machine_busy,
        "repeats": run.repeats,
    }


def _medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = (
        *("share", "due_per_s", "arrived_per_s", *Spread._fields),
        *("lag_max_ms", "lag_p99_ms", "machine_busy"),
    )
    return {
        **{name: median(run[name] for run in runs) for name in names},
        "p99s_ms": [run["p99_ms"] for run in runs],
    }


def latency_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the medians, a row for each share."""
    return [
        (
            f"{load['share']:.0%}",
            round(load["due_per_s"]),
            round(load["arrived_per_s"]),
            *(f"{load[name]:.1f}" for name in Spread._fields),
            ", ".join(f"{p99:.1f}" for p99 in load["p99s_ms"]),
            f"{load['lag_max_ms']:.1f}",
            f"{load['machine_busy']:.0%}",
        )
        for load in figures["loads"]
    ]
