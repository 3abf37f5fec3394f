"""The tenants' read model: how long until it is ready, and what it takes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.deployment import deployed
from benchmarks.process import figures_of
from benchmarks.tenants_load import write_tenants
from hookseal.kafka.broker.ports import free_ports

if TYPE_CHECKING:
    from benchmarks.scenario import Setup

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What a process with nothing but the read model took."""

    tenants: int  # Read
    document_bytes: int  # Of all their documents
    ready_s: float  # Seconds from the start of the model until it was ready
    cpu_s: float  # CPU seconds of that
    longest_pause_s: float  # The longest that the event loop was kept from others meanwhile
    settle_s: float  # Seconds to settle, the median of 100 callers who came one by one
    rss_bytes: int  # Resident, once it was ready
    peak_rss_bytes: int  # The most until then, at 20 looks a second


def run_model(setup: Setup, *, tenants: int) -> ModelRun:
    """Write tenants into a changelog of their own and read them in a new process."""
    (closed,) = free_ports(1)
    with deployed(setup, port=closed) as deployment:
        setup.watcher.stage("Writing tenants", tenants)
        written = asyncio.run(write_tenants(deployment, "large", tenants, setup.watcher.done))
        setup.watcher.stage("Reading tenants")
        figures = figures_of("benchmarks.model_reader", str(tenants), env=deployment.env)
    return ModelRun(document_bytes=written, **figures)


def model_line(run: ModelRun) -> str:
    """Return the figures as one line."""
    return (
        f"{run.tenants} tenants of {run.document_bytes / run.tenants:.0f} bytes: ready after "
        f"{run.ready_s:.1f} s ({run.cpu_s:.1f} s of CPU), {run.rss_bytes / _MB:.0f} MB "
        f"resident, {run.peak_rss_bytes / _MB:.0f} MB at most; the event loop was never kept "
        f"for more than {run.longest_pause_s * 1000:.0f} ms; {run.settle_s * 1000:.1f} ms to "
        "settle"
    )
