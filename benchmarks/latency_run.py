"""How long an event takes from when it is due to when its receiver has it, by load."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from benchmarks.deployment import deployed
from benchmarks.latency_sink import TimedSink
from benchmarks.load import COMMANDS_EACH, make_customers, register
from benchmarks.open_loop import Plan, Sent, due_moments, event_id
from benchmarks.process import Measured, faust, figures_of
from benchmarks.worker_run import applied, worker_environment
from hookseal.kafka.broker.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup

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
    """One load for a while, its warm-up left out of all but the books."""

    due_per_s: float  # Events a second that were due
    # Events a second that arrived, from the first that was due to the last that arrived.
    arrived_per_s: float
    # Of each event that arrived, from when it was due to its first arrival.
    latencies_s: tuple[float, ...]
    events: int  # Published, warm-up included
    arrived: int  # Of these, how many arrived at all
    repeats: int  # Arrivals of what had arrived before
    sent: Sent  # How well the publisher kept its schedule
    share: float = 0.0  # Of what a worker drains
    ordering: str = "partition"  # The worker's
    # Share of all its cores that was in use, by whomever: near 1 the figures are those of a machine
    # that is too small.
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


# Connections are made, keys parsed, code is warm.
WARM_UP_S = 3.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One load for a while."""

    share: float  # Of what the worker drains
    plan: Plan  # What is published, warm-up included

    @property
    def moments(self) -> list[float]:
        return due_moments(self.plan.per_s, self.plan.seconds, self.plan.seed)


def run_latency(
    setup: Setup,
    *,
    per_s: float,
    seconds: float,
    rounds: int,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
) -> list[LatencyRun]:
    """Publish at shares of a rate to one worker that keeps up; a worker for each round.

    Args:
        per_s: Events a second that a worker drains.
        seconds: Of each stretch, after a warm-up of 3 s.
        rounds: How often each share is measured, in turns.
        shares: Of `per_s`.
    """
    setup.watcher.stage("Making keys")
    customers = make_customers()
    runs: list[LatencyRun] = []
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        for number in range(1, rounds + 1):
            # Now the light load first, now the heavy one.
            turns = [*shares] if number % 2 else [*reversed(shares)]
            stretches = _stretches(customers, per_s, seconds, turns)
            folder = Path(name) / f"round-{number}"
            folder.mkdir()
            runs += _round(setup, (customers, folder), stretches)
    return runs


def _stretches(
    customers: Sequence[Customer], per_s: float, seconds: float, shares: Sequence[float]
) -> list[_Stretch]:
    first, stretches = 0, []
    for share in shares:
        plan = Plan(
            per_s=share * per_s,
            seconds=WARM_UP_S + seconds,
            first=first,
            seed=first + 1,
            customers=[(customer.customer_id, customer.partition) for customer in customers],
        )
        stretches.append(_Stretch(share, plan))
        first += len(stretches[-1].moments)
    return stretches


def _round(
    setup: Setup, stage: tuple[list[Customer], Path], stretches: Sequence[_Stretch]
) -> list[LatencyRun]:
    customers, folder = stage
    with ExitStack() as stack:
        sink = stack.enter_context(TimedSink(folder, notes=True))
        deployment = stack.enter_context(deployed(setup, port=sink.port))
        asyncio.run(register(deployment, customers, sink.url))
        (port,) = free_ports(1)
        env = worker_environment(deployment, folder, port)
        sent: list[tuple[Sent, float]] = []
        with Measured(faust("streams.app"), env, folder / "worker.log") as worker:
            setup.watcher.stage("Starting a worker")
            worker.reach(
                lambda: applied(port), COMMANDS_EACH * len(customers), every_s=_LOOK_EVERY_S
            )
            for stretch in stretches:
                setup.watcher.stage(f"{stretch.plan.per_s:.0f} events a second")
                sent.append(_publish(stretch.plan, deployment, folder))
                due = stretch.plan.first + len(stretch.moments)
                worker.reach(sink.received, due, every_s=_LOOK_EVERY_S)
        ordering = env.get("HOOKSEAL_ORDERING", "partition")
    # The notes are written when the sink ends.
    arrivals = sink.arrivals()
    return [
        replace(
            latencies_of(stretch.plan, stretch.moments, one, arrivals, warm_up_s=WARM_UP_S),
            share=stretch.share,
            ordering=ordering,
            machine_busy=busy,
        )
        for stretch, (one, busy) in zip(stretches, sent, strict=True)
    ]


def _publish(plan: Plan, deployment: Deployment, folder: Path) -> tuple[Sent, float]:
    """Return how it went, and how busy the whole machine was meanwhile."""
    file = folder / f"plan-{plan.first}"
    file.write_text(plan.text())
    psutil.cpu_percent()
    sent = Sent(**figures_of("benchmarks.open_loop", str(file), env=deployment.env))
    return sent, psutil.cpu_percent() / 100
