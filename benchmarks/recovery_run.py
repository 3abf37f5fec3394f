"""A worker that has its tenants to read: how long until it is ready, and what it takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson

from benchmarks.deployment import deployed, records_in
from benchmarks.process import Measured, faust, page_at
from benchmarks.tenants_load import write_tenants
from benchmarks.worker_run import worker_environment
from hookseal.kafka.broker.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.scenario import Setup

RECOVERY_COLUMNS = (
    "store",
    "start",
    "tenants",
    "ready s",
    "read s",
    "tenants/s",
    "CPU s",
    "settled s",
    "peak MB",
)
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class RecoveryRun:
    """One start of a worker."""

    store: str  # `memory` or `rocksdb`
    start: str  # `cold`: nothing was on disk; `warm`: all was
    tenants: int  # That stand in the changelog
    document_bytes: int  # Of all their documents
    records: int  # Of the changelog that the worker read
    refused: int  # Of these, what was not one of ours
    # Records that stood in the changelog when it was started: the tenants, and what workers before
    # it made of the commands.
    expected: int
    ready_s: float  # Seconds from the start of the process until it said that it is ready
    read_s: float  # Seconds that the table took, by the worker's own clock
    ready_cpu_s: float  # CPU seconds of the process until it was ready
    # Seconds from the start until it took less than a quarter of a core over three seconds: the
    # lanes have begun.
    settled_s: float
    settled_cpu_s: float  # CPU seconds until then
    rss_bytes: int  # Resident then
    peak_rss_bytes: int  # The most until then, at 50 looks a second


def recovery_figures(runs: Sequence[RecoveryRun], kind: str) -> dict[str, Any]:
    """Return all figures."""
    return {
        "broker": kind,
        "runs": [
            {**asdict(run), "tenants_per_s": run.tenants / run.ready_s, "exact": _is_exact(run)}
            for run in runs
        ],
        "exact": all(_is_exact(run) for run in runs),
    }


def _is_exact(run: RecoveryRun) -> bool:
    # A warm start reads at most what it has already: the last record of each partition.
    is_cold = run.start == "cold"
    all_read = run.records == run.expected if is_cold else run.records < run.expected
    return all_read and run.refused == 0


def recovery_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return a row for each run, under `RECOVERY_COLUMNS`."""
    return [
        (
            run["store"],
            run["start"],
            run["tenants"],
            f"{run['ready_s']:.1f}",
            f"{run['read_s']:.1f}",
            round(run["tenants_per_s"]),
            f"{run['ready_cpu_s']:.1f}",
            f"{run['settled_s']:.1f}",
            round(run["peak_rss_bytes"] / _MB),
        )
        for run in figures["runs"]
    ]


# Store, and whether the data directory is of a worker that had all tenants.
_STARTS = (("memory", "cold"), ("rocksdb", "cold"), ("rocksdb", "warm"))
_LOOK_EVERY_S = 0.02
# Ready is not yet idle: lanes begin, and look for suspended endpoints.
_QUIET_S = 3.0
_QUIET_LOAD = 0.25


def run_recovery(
    setup: Setup, *, tenants: Sequence[int] = (100_000, 1_000_000)
) -> list[RecoveryRun]:
    """Write tenants into a changelog, and start workers on it, one after the other."""
    (closed,) = free_ports(1)
    runs: list[RecoveryRun] = []
    for count in tenants:
        with (
            deployed(setup, port=closed) as deployment,
            TemporaryDirectory(prefix="hookseal-bench-") as name,
        ):
            setup.watcher.stage("Writing tenants", count)
            written = asyncio.run(write_tenants(deployment, "small", count, setup.watcher.done))
            for store, start in _STARTS:
                setup.watcher.stage(f"Reading {count} tenants: {store}, {start}")
                runs.append(recover(deployment, Path(name), (store, start), (count, written)))
    return runs


def recover(
    deployment: Deployment, folder: Path, kind: tuple[str, str], load: tuple[int, int]
) -> RecoveryRun:
    """Start one worker on a changelog, wait until it has settled, and stop it.

    Args:
        deployment: Where the changelog is.
        folder: For logs and the data of each store; what is there already makes it warm.
        kind: The store, and how the start is called.
        load: Tenants in the changelog, and the bytes of their documents.
    """
    store, start = kind
    (port,) = free_ports(1)
    data = folder / store
    data.mkdir(exist_ok=True)
    log = folder / f"{store}-{start}.log"
    env = {**worker_environment(deployment, data, port), "HOOKSEAL_STORE": store}
    expected = asyncio.run(records_in(deployment, deployment.names.tenants_changelog))
    began, peak = time.monotonic(), 0
    with Measured(faust("streams.app"), env, log) as worker:
        for _ in worker.watch(lambda: worker.cpu_s, every_s=_LOOK_EVERY_S):
            peak = max(peak, worker.rss_bytes)
            if page_at(port, "/readyz") == '{"status": "ok"}' and _told(log):
                break
        ready_s, ready_cpu_s = time.monotonic() - began, worker.cpu_s
        samples = [(time.monotonic(), worker.cpu_s)]
        for _ in worker.watch(time.monotonic, every_s=_LOOK_EVERY_S):
            peak = max(peak, worker.rss_bytes)
            samples.append((time.monotonic(), worker.cpu_s))
            if _is_quiet(samples):
                break
        settled_at, settled_cpu_s = next(
            sample for sample in samples if sample[0] >= samples[-1][0] - _QUIET_S
        )
        rss = worker.rss_bytes
    told = _told(log)
    assert told is not None
    return RecoveryRun(
        store=store,
        start=start,
        tenants=load[0],
        document_bytes=load[1],
        records=told["records"],
        refused=told["refused"],
        expected=expected,
        ready_s=ready_s,
        read_s=told["duration_s"],
        ready_cpu_s=ready_cpu_s,
        settled_s=settled_at - began,
        settled_cpu_s=settled_cpu_s,
        rss_bytes=rss,
        peak_rss_bytes=peak,
    )


def _is_quiet(samples: Sequence[tuple[float, float]]) -> bool:
    """Return whether the last seconds took little of a core."""
    now, cpu_s = samples[-1]
    if now - samples[0][0] < _QUIET_S:
        return False
    before = next(used for at, used in reversed(samples) if at <= now - _QUIET_S)
    return cpu_s - before < _QUIET_LOAD * _QUIET_S


def _told(log: Path) -> dict[str, Any] | None:
    """Return what the worker's log says of the table, None if it says nothing yet."""
    return next(_lines(log, "table.recovered"), None)


def _lines(log: Path, event: str) -> Iterator[dict[str, Any]]:
    for text in log.read_text(errors="replace").splitlines():
        if event in text and text.startswith("{") and text.endswith("}"):
            line: dict[str, Any] = orjson.loads(text)
            if line.get("event") == event:
                yield line
