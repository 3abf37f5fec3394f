"""What the delivery log costs: workers with it and without, in turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.deployment import deployed
from benchmarks.load import make_customers, publish, register
from benchmarks.sink import Sink
from benchmarks.worker_run import run_worker
from tests.brokers.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup
    from benchmarks.worker_run import WorkerRun


@dataclass(frozen=True, slots=True)
class LogRun:
    """One run with the delivery log, and one without."""

    on: WorkerRun  # With it
    off: WorkerRun  # Without
    logged: int  # Records on `deliveries` after the run with it


def run_log(setup: Setup, *, events: int, rounds: int) -> list[LogRun]:
    """Deliver the same events with and without the delivery log, in turns."""
    with TemporaryDirectory(prefix="hookseal-bench-") as name, Sink(Path(name)) as sink:
        setup.watcher.stage("Making keys")
        customers = make_customers()
        return [
            _round(number, setup, (customers, sink, Path(name)), events)
            for number in range(1, rounds + 1)
        ]


def _round(
    number: int, setup: Setup, stage: tuple[list[Customer], Sink, Path], events: int
) -> LogRun:
    customers, sink, folder = stage
    runs: dict[bool, WorkerRun] = {}
    logged = 0
    # Now this first, now that: what a machine does over time falls on both.
    for is_on in (True, False) if number % 2 else (False, True):
        with deployed(setup, port=sink.port) as deployment:
            setup.watcher.stage(f"Publishing, round {number}")
            asyncio.run(register(deployment, customers, sink.url))
            asyncio.run(publish(deployment, customers, events))
            setup.watcher.stage(f"Delivering {'with' if is_on else 'without'} the log", events)
            env = {**deployment.env, "HOOKSEAL_DELIVERY_LOG": str(is_on).lower()}
            place = folder / f"round-{number}-{is_on}"
            place.mkdir()
            runs[is_on] = run_worker(
                replace(deployment, env=env),
                sink,
                place,
                events=events,
                on_progress=setup.watcher.done,
            )
            if is_on:
                logged = asyncio.run(_logged(deployment))
    return LogRun(runs[True], runs[False], logged)


async def _logged(deployment: Deployment) -> int:
    return len([0 async for _ in read_all(deployment.cluster, deployment.names.deliveries)])


def log_figures(runs: Sequence[LogRun], broker: str, events: int) -> dict[str, Any]:
    """Return all figures."""
    on, off = [run.on.pace for run in runs], [run.off.pace for run in runs]
    return {
        "broker": broker,
        "events": events,
        "rounds": len(runs),
        "on_per_s": [pace.per_s for pace in on],
        "off_per_s": [pace.per_s for pace in off],
        "on_cpu_us": median(pace.cpu_us for pace in on),
        "off_cpu_us": median(pace.cpu_us for pace in off),
        "cost": 1 - median(pace.per_s for pace in on) / median(pace.per_s for pace in off),
        "logged": [run.logged for run in runs],
        "exact": all(
            run.on.is_exact(events) and run.off.is_exact(events) and run.logged == events
            for run in runs
        ),
    }


def log_line(figures: Mapping[str, Any]) -> str:
    """Return the figures as one line."""
    on, off = figures["on_per_s"], figures["off_per_s"]
    return (
        f"{median(on):.0f} webhooks a second with the delivery log "
        f"({min(on):.0f}-{max(on):.0f}), {median(off):.0f} without "
        f"({min(off):.0f}-{max(off):.0f}): it costs {figures['cost']:.1%}; CPU us each "
        f"{figures['on_cpu_us']:.0f} and {figures['off_cpu_us']:.0f}"
    )
