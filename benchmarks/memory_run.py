"""A worker all of whose partitions are held: what the events behind the heads take."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.deployment import deployed
from benchmarks.load import COMMANDS_EACH, publish, register
from benchmarks.process import Measured, faust
from benchmarks.scenario import PARTITIONS
from benchmarks.worker_run import applied, in_backoff, worker_environment
from hookseal.kafka.broker.ports import HOST, free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.load import Customer
    from benchmarks.scenario import Setup


_LOOK_EVERY_S = 0.5
_STEADY_S = 10.0
_STEADY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """What a worker holds in memory.

    Attributes:
        waiting: Events on the broker, behind the ones in backoff.
        ready_rss_bytes: Of a worker that has its tenants and no event.
        full_rss_bytes: Once every queue was full and nothing grew any more.
        peak_rss_bytes: The most in between.
    """

    waiting: int
    ready_rss_bytes: int
    full_rss_bytes: int
    peak_rss_bytes: int


def run_memory(
    setup: Setup,
    customers: list[Customer],
    folder: Path,
    *,
    waiting: int,
) -> MemoryRun:
    """Hold every partition in a backoff of an hour, and let memory settle.

    Args:
        customers: Whose events.
        folder: For the worker's log.
        waiting: Events to publish.
    """
    closed, port = free_ports(2)
    with deployed(setup, port=closed) as deployment:
        asyncio.run(register(deployment, customers, lambda c: f"http://{HOST}:{closed}/{c}"))
        env = {**worker_environment(deployment, folder, port), "HOOKSEAL_RETRY_DELAYS_S": "3600"}
        with Measured(faust("streams.app"), env, folder / "ready.log") as worker:
            worker.reach(
                lambda: applied(port), COMMANDS_EACH * len(customers), every_s=_LOOK_EVERY_S
            )
            ready = worker.rss_bytes
        asyncio.run(publish(deployment, customers, waiting))
        with Measured(faust("streams.app"), env, folder / "full.log") as worker:
            worker.reach(lambda: in_backoff(port), PARTITIONS, every_s=_LOOK_EVERY_S)
            full, peak = _settle(worker)
    return MemoryRun(waiting, ready, full, peak)


def _settle(worker: Measured) -> tuple[int, int]:
    """Wait until memory stays within 1 MiB for ten seconds; return it, and the most seen."""
    steady, since = 0, time.monotonic()
    peak = 0
    # The progress is time itself: that memory stands still is what is waited for.
    for _ in worker.watch(time.monotonic, every_s=_LOOK_EVERY_S):
        now = worker.rss_bytes
        peak = max(peak, now)
        if abs(now - steady) > _STEADY_BYTES:
            steady, since = now, time.monotonic()
        elif time.monotonic() - since >= _STEADY_S:
            break
    return steady, peak
