"""Runs of one process over events that are published already: rate, CPU and memory.

A worker that delivers them, a worker whose partitions all back off, and a Faust agent that does
nothing, which is what Faust takes by itself.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.deployment import deployed
from benchmarks.load import COMMANDS_EACH, publish, register
from benchmarks.meter import Pace, Sample, pace_of
from benchmarks.process import Measured, faust, page_at
from benchmarks.scenario import PARTITIONS
from hookseal.kafka.broker.ports import HOST, free_ports
from tests.brokers.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup
    from benchmarks.sink import Sink

# Seconds between two looks at a process.
_LOOK_EVERY_S, _IDLE_LOOK_S, _MEMORY_LOOK_S = 0.04, 0.1, 0.5
_STEADY_S = 10.0
_STEADY_BYTES = 1024 * 1024


def run_idle(deployment: Deployment, folder: Path, *, events: int) -> Pace:
    """Run the agent over all events in a group of its own; return what it measured itself."""
    result = folder / "idle.json"
    env = {
        **deployment.env,
        "HOOKSEAL_DATA_DIR": str(folder),
        "HOOKSEAL_BENCH_EVENTS": str(events),
        "HOOKSEAL_BENCH_RESULT": str(result),
    }
    with Measured(faust("benchmarks.idle_agent"), env, folder / "idle.log") as idle:
        for is_done in idle.watch(result.exists, every_s=_IDLE_LOOK_S):
            if is_done:
                break
    return Pace(**json.loads(result.read_text()))


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """What a worker holds in memory."""

    waiting: int  # Events on the broker, behind the ones in backoff
    ready_rss_bytes: int  # Of a worker that has its tenants and no event
    full_rss_bytes: int  # Once every queue was full and nothing grew any more
    peak_rss_bytes: int  # The most in between


def run_memory(setup: Setup, customers: list[Customer], folder: Path, *, waiting: int) -> MemoryRun:
    """Hold every partition in a backoff of an hour, and let memory settle."""
    closed, port = free_ports(2)
    with deployed(setup, port=closed) as deployment:
        asyncio.run(register(deployment, customers, lambda c: f"http://{HOST}:{closed}/{c}"))
        env = {**worker_environment(deployment, folder, port), "HOOKSEAL_RETRY_DELAYS_S": "3600"}
        with Measured(faust("streams.app"), env, folder / "ready.log") as worker:
            worker.reach(
                lambda: applied(port), COMMANDS_EACH * len(customers), every_s=_MEMORY_LOOK_S
            )
            ready = worker.rss_bytes
        asyncio.run(publish(deployment, customers, waiting))
        with Measured(faust("streams.app"), env, folder / "full.log") as worker:
            worker.reach(lambda: in_backoff(port), PARTITIONS, every_s=_MEMORY_LOOK_S)
            full, peak = _settle(worker)
    return MemoryRun(waiting, ready, full, peak)


def _settle(worker: Measured) -> tuple[int, int]:
    """Wait until memory stays within 1 MiB for ten seconds; return it, and the most seen."""
    steady, since = 0, time.monotonic()
    peak = 0
    # The progress is time itself: that memory stands still is what is waited for.
    for _ in worker.watch(time.monotonic, every_s=_MEMORY_LOOK_S):
        now = worker.rss_bytes
        peak = max(peak, now)
        if abs(now - steady) > _STEADY_BYTES:
            steady, since = now, time.monotonic()
        elif time.monotonic() - since >= _STEADY_S:
            break
    return steady, peak


def metrics_of(port: int) -> Mapping[str, float]:
    """Return the metrics, by name and labels; nothing while there is no worker to ask."""
    text = page_at(port, "/metrics")
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text or "")
        for sample in family.samples
    }


def accepted(port: int) -> int:
    """Return the deliveries that were accepted."""
    return int(metrics_of(port).get("hookseal_deliveries_total accepted", 0))


def applied(port: int) -> int:
    """Return the commands that took effect."""
    return int(metrics_of(port).get("hookseal_commands_total ok", 0))


def in_backoff(port: int) -> int:
    """Return the deliveries that wait in backoff, on all partitions."""
    found = metrics_of(port).items()
    return int(sum(value for name, value in found if name.startswith("hookseal_in_backoff ")))


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """What a worker did."""

    pace: Pace  # Webhooks a second, and CPU for each
    peak_rss_bytes: int  # The most memory that was seen in use
    received: int  # Requests that came to the receiver
    accepted: int  # Deliveries that the worker counts as accepted
    dead_letters: int  # Records on `dead-letters`

    def is_exact(self, events: int) -> bool:
        """Return whether each event was delivered once, and none was given up."""
        return self.received == self.accepted == events and self.dead_letters == 0


def run_worker(
    deployment: Deployment,
    sink: Sink,
    folder: Path,
    *,
    events: int,
    on_progress: Callable[[int], None],
) -> WorkerRun:
    """Run a worker until all events are delivered."""
    (port,) = free_ports(1)
    before = sink.received()
    samples: list[Sample] = []
    peak = 0
    with Measured(
        faust("streams.app"), worker_environment(deployment, folder, port), folder / "worker.log"
    ) as worker:
        looks = worker.watch(lambda: sink.received() - before, every_s=_LOOK_EVERY_S)
        for done in looks:
            samples.append(Sample(time.perf_counter(), int(done), worker.cpu_s))
            peak = max(peak, worker.rss_bytes)
            on_progress(int(done))
            if done >= events:
                break
        # The last answers are still on their way.
        counts = worker.reach(lambda: accepted(port), events, every_s=_LOOK_EVERY_S)
        peak = max(peak, worker.rss_bytes)
    # Only now: whatever it would have sent twice, it has.
    return WorkerRun(
        pace=pace_of(samples, events),
        peak_rss_bytes=peak,
        received=sink.received() - before,
        accepted=counts,
        dead_letters=asyncio.run(dead_letters_of(deployment)),
    )


def worker_environment(deployment: Deployment, folder: Path, port: int) -> dict[str, str]:
    """Return the environment of a worker that serves its metrics on this port."""
    return {**deployment.env, "HOOKSEAL_DATA_DIR": str(folder), "HOOKSEAL_METRICS_PORT": str(port)}


async def dead_letters_of(deployment: Deployment) -> int:
    """Return how many records are on `dead-letters`."""
    return len([0 async for _ in read_all(deployment.cluster, deployment.names.dead_letters)])
