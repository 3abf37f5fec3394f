"""Events of a paused endpoint: how fast one worker defers and delivers them, and its memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.deployment import deployed
from benchmarks.load import COMMANDS_EACH, make_customers, publish, register
from benchmarks.process import Measured, faust
from benchmarks.sink import Sink
from benchmarks.worker_run import applied, metrics_of, worker_environment
from hookseal.domain.command import PauseEndpoint, ResumeEndpoint
from hookseal.kafka.broker.ports import free_ports
from hookseal.kafka.producer import Producer
from hookseal.tenants.commands import KafkaCommands

if TYPE_CHECKING:
    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup

_LOOK_EVERY_S = 0.1
# Of the events, before memory is measured first: queues are full, code is warm.
_WARM = 10
# Of the events: how many are delivered after the pause.
_DELIVERED = 20


@dataclass(frozen=True, slots=True)
class DeferredRun:
    """What one worker did with the events of one endpoint."""

    ordering: str  # HOOKSEAL_ORDERING
    events: int  # Deferred
    deferred_per_s: float
    warm_rss_bytes: int  # With a tenth of them deferred
    full_rss_bytes: int  # With all of them deferred
    delivered_per_s: float  # After the pause; one request at a time


def run_deferred(setup: Setup, *, events: int) -> DeferredRun:
    """Defer the events of a paused endpoint, then resume it."""
    customers = make_customers(keys=1, tenants=1)
    with (
        TemporaryDirectory(prefix="hookseal-bench-") as name,
        Sink(folder := Path(name)) as sink,
        deployed(setup, port=sink.port) as deployment,
    ):
        asyncio.run(register(deployment, customers, sink.url))
        asyncio.run(_command(deployment, customers[0], PauseEndpoint))
        setup.watcher.stage("Publishing")
        asyncio.run(publish(deployment, customers, events))
        (port,) = free_ports(1)
        env = worker_environment(deployment, folder, port)
        with Measured(faust("streams.app"), env, folder / "worker.log") as worker:
            worker.reach(lambda: applied(port), COMMANDS_EACH + 1, every_s=_LOOK_EVERY_S)
            setup.watcher.stage("Deferring")
            warm = worker.reach(lambda: _deferred(port), events // _WARM, every_s=_LOOK_EVERY_S)
            warm_rss, began = worker.rss_bytes, time.perf_counter()
            worker.reach(lambda: _deferred(port), events, every_s=_LOOK_EVERY_S)
            deferred_per_s = (events - warm) / (time.perf_counter() - began)
            full_rss = worker.rss_bytes
            setup.watcher.stage("Delivering")
            asyncio.run(_command(deployment, customers[0], ResumeEndpoint))
            goal = max(1, events // _DELIVERED)
            worker.reach(sink.received, 1, every_s=_LOOK_EVERY_S / 10)
            began = time.perf_counter()
            delivered = worker.reach(sink.received, goal, every_s=_LOOK_EVERY_S / 10)
            delivered_per_s = (delivered - 1) / (time.perf_counter() - began)
    ordering = env.get("HOOKSEAL_ORDERING", "partition")
    return DeferredRun(ordering, events, deferred_per_s, warm_rss, full_rss, delivered_per_s)


async def _command(
    deployment: Deployment, customer: Customer, kind: type[PauseEndpoint | ResumeEndpoint]
) -> None:
    async with Producer(deployment.cluster) as producer:
        commands = KafkaCommands(producer, deployment.names, deployment.codec)
        await commands.submit(
            kind(
                customer_id=customer.customer_id,
                id=uuid4().hex,
                at=time.time(),
                endpoint_id="ep_1",
            )
        )


def _deferred(port: int) -> int:
    return int(metrics_of(port).get("hookseal_deliveries_total set_aside", 0))


def deferred_line(run: DeferredRun) -> str:
    """Return the figures as one line."""
    return (
        f"mode {run.ordering}: {run.events:,} events of one endpoint deferred at "
        f"{run.deferred_per_s:,.0f} a second; memory {run.warm_rss_bytes / 1e6:.0f} MB with a "
        f"tenth of them, {run.full_rss_bytes / 1e6:.0f} MB with all; delivered at "
        f"{run.delivered_per_s:,.0f} a second afterwards"
    )
