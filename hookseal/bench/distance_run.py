"""Receivers that are far away: what the order `customer` gains over `partition`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hookseal.bench.deployment import deployed
from hookseal.bench.distance_figures import (
    DISTANCE_COLUMNS,
    WAYS,
    DistanceRun,
    distance_figures,
    distance_rows,
)
from hookseal.bench.distance_load import write_customers
from hookseal.bench.latency_sink import TimedSink, hosts_here
from hookseal.bench.load import make_customers, publish
from hookseal.bench.scenario import PARTITIONS
from hookseal.bench.worker_run import run_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.bench.distance_figures import Way
    from hookseal.bench.load import Customer
    from hookseal.bench.rounds import Watcher
    from hookseal.kafka.broker import Broker

__all__ = [
    "DISTANCE_COLUMNS",
    "DISTANCE_CUSTOMERS",
    "WAYS",
    "DistanceRun",
    "distance_figures",
    "distance_rows",
    "events_of",
    "run_distance",
]

DISTANCE_CUSTOMERS = 1000
# One delivery at a time and partition: as many events as for the others would take minutes.
_PARTITION_S = 15.0


def run_distance(
    broker: Broker,
    shell: Mapping[str, str],
    watcher: Watcher,
    *,
    events: int,
    rounds: int,
    latencies_s: Sequence[float] = (0.05, 0.2),
    customers: int = DISTANCE_CUSTOMERS,
) -> list[DistanceRun]:
    """Deliver to receivers that answer late, in each of `WAYS`, in turns.

    Args:
        broker: Where.
        shell: The environment that the benchmark was started with.
        watcher: Told how it goes.
        events: Events of each run; fewer in the order `partition`, where they would take
            more than 15 s.
        rounds: Runs of each kind.
        latencies_s: Seconds after which the receivers answer.
        customers: Tenants, with one endpoint each.

    Raises:
        HooksealError: A run could not be made or measured.
    """
    watcher.stage("Making tenants")
    made = make_customers(keys=1, tenants=customers)
    runs = []
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        for number in range(1, rounds + 1):
            for latency_s in latencies_s:
                # Now this first, now that: what a machine does over time falls on all.
                for way in WAYS if number % 2 else reversed(WAYS):
                    place = Path(name) / f"{number}-{latency_s}-{way.name}"
                    place.mkdir()
                    watcher.stage(f"Answers after {latency_s * 1000:.0f} ms, {way.title}")
                    stage = (broker, shell, watcher, place)
                    runs.append(_run(stage, made, way, latency_s, events))
    return runs


def _run(
    stage: tuple[Broker, Mapping[str, str], Watcher, Path],
    customers: list[Customer],
    way: Way,
    latency_s: float,
    events: int,
) -> DistanceRun:
    broker, shell, watcher, folder = stage
    events = events_of(way.name, latency_s, events)
    with (
        TimedSink(folder, delay_s=latency_s, hosts=hosts_here()) as sink,
        deployed(broker, shell, port=sink.port) as deployment,
    ):
        asyncio.run(write_customers(deployment, customers, sink.url))
        asyncio.run(publish(deployment, customers, events))
        watcher.stage(f"Answers after {latency_s * 1000:.0f} ms, {way.title}", events)
        worker = run_worker(
            replace(deployment, env={**deployment.env, **way.settings}),
            sink,
            folder,
            events=events,
            on_progress=watcher.done,
        )
    return DistanceRun(latency_s, way.name, len(customers), events, worker)


def events_of(way: str, latency_s: float, events: int) -> int:
    """Return how many of the events a run has."""
    if way != "partition":
        return events
    return min(events, round(_PARTITION_S * PARTITIONS / latency_s))
