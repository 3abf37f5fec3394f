"""What runs to receivers far away came to, and the table of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.bench.scenario import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.bench.worker_run import WorkerRun

__all__ = ["DISTANCE_COLUMNS", "WAYS", "DistanceRun", "Way", "distance_figures", "distance_rows"]

DISTANCE_COLUMNS = (
    "receivers answer after",
    "order",
    "per s",
    "times partition",
    "CPU us each",
    "rounds",
)


class Way(NamedTuple):
    """How a worker is set.

    Attributes:
        name: For programs.
        title: For people.
        settings: What is not the default.
    """

    name: str
    title: str
    settings: Mapping[str, str]


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
    """One worker that was run.

    Attributes:
        latency_s: Seconds from a request to its answer.
        way: Name of how the worker was set.
        customers: Whose events it had.
        events: That it delivered.
        worker: What it came to.
    """

    latency_s: float
    way: str
    customers: int
    events: int
    worker: WorkerRun


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
    ways = {way.name: _medians([run.worker for run in runs if run.way == way.name]) for way in WAYS}
    base = ways["partition"]["per_s"]
    for figures in ways.values():
        figures["times_partition"] = figures["per_s"] / base
    return {"latency_s": latency_s, "ways": ways}


def _medians(workers: Sequence[WorkerRun]) -> dict[str, Any]:
    rates = [worker.pace.per_s for worker in workers]
    return {
        "per_s": median(rates),
        "cpu_us": median(worker.pace.cpu_us for worker in workers),
        "rates": rates,
    }


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
