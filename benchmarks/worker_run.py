"""A worker that finds all events published: how fast it delivers them, and at what cost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.meter import Pace, Sample, pace_of
from benchmarks.process import Measured, faust, page_at
from hookseal.kafka.broker.ports import free_ports
from hookseal.kafka.reader import read_all

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.deployment import Deployment
    from benchmarks.sink import Sink


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


_LOOK_EVERY_S = 0.04


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """What a worker did.

    Attributes:
        pace: Webhooks a second, and CPU for each.
        peak_rss_bytes: The most memory that was seen in use.
        received: Requests that came to the receiver.
        accepted: Deliveries that the worker counts as accepted.
        dead_letters: Records on `dead-letters`.
    """

    pace: Pace
    peak_rss_bytes: int
    received: int
    accepted: int
    dead_letters: int

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
    """Run a worker until all events are delivered.

    Args:
        on_progress: Told how many arrived.
    """
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
    return {
        **deployment.env,
        "HOOKSEAL_DATA_DIR": str(folder),
        "HOOKSEAL_METRICS_PORT": str(port),
    }


async def dead_letters_of(deployment: Deployment) -> int:
    """Return how many records are on `dead-letters`."""
    return len([0 async for _ in read_all(deployment.cluster, deployment.names.dead_letters)])
