"""Receivers that are far away: what the order `customer` gains over `partition`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.deployment import deployed
from benchmarks.latency_sink import TimedSink, hosts_here
from benchmarks.load import make_customers, publish, write_tenants
from benchmarks.meter import paces_figures
from benchmarks.scenario import PARTITIONS
from benchmarks.worker_run import run_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.load import Customer
    from benchmarks.scenario import Setup
    from benchmarks.worker_run import WorkerRun

DISTANCE_COLUMNS = (
    "receivers answer after",
    "order",
    "per s",
    "times partition",
    "CPU us each",
    "rounds",
)


class Way(NamedTuple):
    """How a worker is set."""

    name: str  # For programs
    title: str  # For people
    settings: Mapping[str, str]  # What is not the default


WAYS = (
    Way("partition", "partition", {"HOOKSEAL_ORDERING": "partition"}),
    Way("customer", "customer", {"HOOKSEAL_ORDERING": "customer"}),
    Way(
        "customer_256",
        "customer, HOOKSEAL_MAX_IN_FLIGHT=256",
        {"HOOKSEAL_ORDERING": "customer", "HOOKSEAL_MAX_IN_FLIGHT": "256"},
    ),
)


@dataclass(frozen=True, slots=True)
class DistanceRun:
    """One worker that was run."""

    latency_s: float  # Seconds from a request to its answer
    way: str  # Name of how the worker was set
    customers: int  # Whose events it had
    events: int  # That it delivered
    worker: WorkerRun  # What it came to


def distance_figures(runs: Sequence[DistanceRun], broker: str) -> dict[str, Any]:
    """Return all figures: each run, and medians for each latency and way."""
    return {
        "broker": broker,
        "customers": runs[0].customers,
        "partitions": PARTITIONS,
        "settings": {way.name: dict(way.settings) for way in WAYS},
        "runs": [_raw(run) for run in runs],
        "distances": [
            _distance(latency_s, [run for run in runs if run.latency_s == latency_s])
            for latency_s in sorted({run.latency_s for run in runs})
        ],
        "exact": all(run.worker.is_exact(run.events) for run in runs),
    }


def _raw(run: DistanceRun) -> dict[str, Any]:
    raw = asdict(run)
    raw["worker"]["pace"] = run.worker.pace._asdict()
    return raw


def _distance(latency_s: float, runs: Sequence[DistanceRun]) -> dict[str, Any]:
    ways = {
        way.name: paces_figures([run.worker.pace for run in runs if run.way == way.name])
        for way in WAYS
    }
    base = ways["partition"]["per_s"]
    for figures in ways.values():
        figures["times_partition"] = figures["per_s"] / base
    return {"latency_s": latency_s, "ways": ways}


def distance_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the medians, a row for each latency and way."""
    return [
        (
            f"{distance['latency_s'] * 1000:.0f} ms",
            way.title,
            round(found["per_s"]),
            f"{found['times_partition']:.1f}",
            round(found["cpu_us"]),
            ", ".join(f"{rate:.0f}" for rate in found["rates"]),
        )
        for distance in figures["distances"]
        for way in WAYS
        for found in (distance["ways"][way.name],)
    ]


DISTANCE_CUSTOMERS = 1000
# One delivery at a time and partition: as many events as for the others would take minutes.
_PARTITION_S = 15.0


def run_distance(
    setup: Setup,
    *,
    events: int,
    rounds: int,
    latencies_s: Sequence[float] = (0.05, 0.2),
    customers: int = DISTANCE_CUSTOMERS,
) -> list[DistanceRun]:
    """Deliver to receivers that answer late, in each of `WAYS`, in turns.

    Args:
        events: Events of each run; fewer in the order `partition`, where they would take
            more than 15 s.
        latencies_s: Seconds after which the receivers answer.
        customers: Tenants, with one endpoint each.
    """
    setup.watcher.stage("Making tenants")
    made = make_customers(keys=1, tenants=customers)
    runs = []
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        for number in range(1, rounds + 1):
            for latency_s in latencies_s:
                # Now this first, now that: what a machine does over time falls on all.
                for way in WAYS if number % 2 else reversed(WAYS):
                    place = Path(name) / f"{number}-{latency_s}-{way.name}"
                    place.mkdir()
                    setup.watcher.stage(f"Answers after {latency_s * 1000:.0f} ms, {way.title}")
                    runs.append(_run(setup, place, made, way, latency_s, events))
    return runs


def _run(  # noqa: PLR0917
    setup: Setup, folder: Path, customers: list[Customer], way: Way, latency_s: float, events: int
) -> DistanceRun:
    events = events_of(way.name, latency_s, events)
    with (
        TimedSink(folder, delay_s=latency_s, hosts=hosts_here()) as sink,
        deployed(setup, port=sink.port) as deployment,
    ):
        tenants = (customer.tenant(sink.url(customer.customer_id)) for customer in customers)
        asyncio.run(write_tenants(deployment, tenants))
        asyncio.run(publish(deployment, customers, events))
        setup.watcher.stage(f"Answers after {latency_s * 1000:.0f} ms, {way.title}", events)
        worker = run_worker(
            replace(deployment, env={**deployment.env, **way.settings}),
            sink,
            folder,
            events=events,
            on_progress=setup.watcher.done,
        )
    return DistanceRun(latency_s, way.name, len(customers), events, worker)


def events_of(way: str, latency_s: float, events: int) -> int:
    """Return how many of the events a run has."""
    if way != "partition":
        return events
    return min(events, round(_PARTITION_S * PARTITIONS / latency_s))
