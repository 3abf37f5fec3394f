"""How fast one worker drains, by the kind of its tenants' keys and by the size of events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.deployment import deployed
from benchmarks.load import make_customers, publish, register
from benchmarks.meter import paces_figures
from benchmarks.scenario import POINTS
from benchmarks.sink import Sink
from benchmarks.worker_run import run_worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.load import Customer
    from benchmarks.scenario import Point, Setup
    from benchmarks.worker_run import WorkerRun

SIZES_COLUMNS = ("keys", "KB each", "per s", "MB per s", "CPU us each", "rounds", "peak MB")

_KIB = 1024
_MB = 1_000_000
# Shared by all tenants, of each kind alike: what counts is the kind, and one of RSA-4096
# takes a second to make.
_KEYS = 4
# Of all events of a run; so many of 32 KB that a broker's disk is not what is measured.
_RUN_MAX_BYTES = 128 * _KIB * _KIB


@dataclass(frozen=True, slots=True)
class SizeRun:
    """One run."""

    point: Point  # What it had
    events: int  # How many
    worker: WorkerRun  # What the worker did


def run_sizes(
    setup: Setup, *, events: int, rounds: int, points: Sequence[Point] = POINTS
) -> list[SizeRun]:
    """Drain a topic for each point, in turns.

    Args:
        events: Events of each run; fewer where they would come to more than 128 MiB.
        rounds: Runs of each point.
        points: Kinds of key and sizes.
    """
    with TemporaryDirectory(prefix="hookseal-bench-") as name, Sink(Path(name)) as sink:
        setup.watcher.stage("Making keys")
        customers = {point.kind: make_customers(point.kind, keys=_KEYS) for point in points}
        return [
            _run(setup, (customers[point.kind], sink, folder), point, events)
            for point, folder in _turns(points, rounds, Path(name))
        ]


def _turns(points: Sequence[Point], rounds: int, folder: Path) -> Iterator[tuple[Point, Path]]:
    """Return each point, and a folder to make; the other way round in every second round."""
    for number in range(1, rounds + 1):
        for point in points if number % 2 else reversed(points):
            yield point, folder / f"{point.kind}-{point.event_bytes}-{number}"


def _run(
    setup: Setup, stage: tuple[list[Customer], Sink, Path], point: Point, events: int
) -> SizeRun:
    customers, sink, folder = stage
    folder.mkdir()
    events = min(events, _RUN_MAX_BYTES // point.event_bytes)
    of = f"{point.kind}, {point.event_bytes // _KIB} KB"
    with deployed(setup, port=sink.port) as deployment:
        setup.watcher.stage(f"Publishing, {of}")
        asyncio.run(register(deployment, customers, sink.url))
        asyncio.run(publish(deployment, customers, events, size_bytes=point.event_bytes))
        setup.watcher.stage(f"Delivering, {of}", events)
        worker = run_worker(deployment, sink, folder, events=events, on_progress=setup.watcher.done)
    return SizeRun(point, events, worker)


def sizes_figures(runs: Sequence[SizeRun], broker: str) -> dict[str, Any]:
    """Return all figures, a point each."""
    points = list(dict.fromkeys(run.point for run in runs))
    return {
        "broker": broker,
        "rounds": len(runs) // len(points),
        "points": [_point(point, [run for run in runs if run.point == point]) for point in points],
        "exact": all(run.worker.is_exact(run.events) for run in runs),
    }


def _point(point: Point, runs: Sequence[SizeRun]) -> dict[str, Any]:
    paces = paces_figures([run.worker.pace for run in runs])
    return {
        **point._asdict(),
        **paces,
        "events": runs[0].events,
        "bytes_per_s": paces["per_s"] * point.event_bytes,
        "peak_rss_bytes": max(run.worker.peak_rss_bytes for run in runs),
    }


def sizes_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return a row for each point."""
    return [
        (
            point["kind"],
            point["event_bytes"] // _KIB,
            round(point["per_s"]),
            round(point["bytes_per_s"] / _MB, 1),
            round(point["cpu_us"]),
            f"{min(point['rates']):.0f}-{max(point['rates']):.0f}",
            round(point["peak_rss_bytes"] / _MB),
        )
        for point in figures["points"]
    ]
