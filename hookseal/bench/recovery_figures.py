"""How long workers took to get their tenants back, as figures and as rows of a table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["RECOVERY_COLUMNS", "RecoveryRun", "recovery_figures", "recovery_rows"]

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
    """One start of a worker.

    Attributes:
        store: `memory` or `rocksdb`.
        start: `cold`: nothing was on disk; `warm`: all was.
        tenants: That stand in the changelog.
        document_bytes: Of all their documents.
        records: Of the changelog that the worker read.
        refused: Of these, what was not one of ours.
        expected: Records that stood in the changelog when it was started: the tenants, and
            what workers before it made of the commands.
        ready_s: Seconds from the start of the process until it said that it is ready.
        read_s: Seconds that the table took, by the worker's own clock.
        ready_cpu_s: CPU seconds of the process until it was ready.
        settled_s: Seconds from the start until it took less than a quarter of a core over
            three seconds: the lanes have begun.
        settled_cpu_s: CPU seconds until then.
        rss_bytes: Resident then.
        peak_rss_bytes: The most until then, at 50 looks a second.
    """

    store: str
    start: str
    tenants: int
    document_bytes: int
    records: int
    refused: int
    expected: int
    ready_s: float
    read_s: float
    ready_cpu_s: float
    settled_s: float
    settled_cpu_s: float
    rss_bytes: int
    peak_rss_bytes: int


def recovery_figures(runs: Sequence[RecoveryRun], kind: str) -> dict[str, Any]:
    """Return all figures.

    Args:
        runs: As measured.
        kind: The broker's.
    """
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
