"""How long an event takes from when it is due to when its receiver has it, by load."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil

from hookseal.bench.deployment import deployed
from hookseal.bench.latency_figures import (
    LATENCY_COLUMNS,
    LatencyRun,
    latencies_of,
    latency_figures,
    latency_rows,
)
from hookseal.bench.latency_sink import TimedSink
from hookseal.bench.load import COMMANDS_EACH, make_customers, register
from hookseal.bench.open_loop import Plan, Sent, due_moments
from hookseal.bench.process import Measured, faust, figures_of
from hookseal.bench.worker_metrics import applied
from hookseal.bench.worker_run import worker_environment
from hookseal.kafka.broker.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.bench.deployment import Deployment
    from hookseal.bench.load import Customer
    from hookseal.bench.rounds import Watcher
    from hookseal.kafka.broker import Broker

__all__ = [
    "LATENCY_COLUMNS",
    "LatencyRun",
    "latency_figures",
    "latency_rows",
    "run_latency",
]

# Connections are made, keys parsed, code is warm.
WARM_UP_S = 3.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Stretch:
    """One load for a while.

    Attributes:
        share: Of what the worker drains.
        plan: What is published, warm-up included.
    """

    share: float
    plan: Plan

    @property
    def moments(self) -> list[float]:
        return due_moments(self.plan.per_s, self.plan.seconds, self.plan.seed)


def run_latency(
    broker: Broker,
    shell: Mapping[str, str],
    watcher: Watcher,
    *,
    per_s: float,
    seconds: float,
    rounds: int,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
) -> list[LatencyRun]:
    """Publish at shares of a rate to one worker that keeps up; a worker for each round.

    Args:
        broker: Where.
        shell: The environment that the benchmark was started with.
        watcher: Told how it goes.
        per_s: Events a second that a worker drains.
        seconds: Of each stretch, after a warm-up of 3 s.
        rounds: How often each share is measured, in turns.
        shares: Of `per_s`.

    Raises:
        HooksealError: A run could not be made or measured.
    """
    watcher.stage("Making keys")
    customers = make_customers()
    runs: list[LatencyRun] = []
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        for number in range(1, rounds + 1):
            # Now the light load first, now the heavy one.
            turns = [*shares] if number % 2 else [*reversed(shares)]
            stretches = _stretches(customers, per_s, seconds, turns)
            folder = Path(name) / f"round-{number}"
            folder.mkdir()
            runs += _round(broker, shell, watcher, (customers, folder), stretches)
    return runs


def _stretches(
    customers: Sequence[Customer], per_s: float, seconds: float, shares: Sequence[float]
) -> list[_Stretch]:
    first, stretches = 0, []
    for share in shares:
        plan = Plan(
            per_s=share * per_s,
            seconds=WARM_UP_S + seconds,
            first=first,
            seed=first + 1,
            customers=[(customer.customer_id, customer.partition) for customer in customers],
        )
        stretches.append(_Stretch(share, plan))
        first += len(stretches[-1].moments)
    return stretches


def _round(
    broker: Broker,
    shell: Mapping[str, str],
    watcher: Watcher,
    stage: tuple[list[Customer], Path],
    stretches: Sequence[_Stretch],
) -> list[LatencyRun]:
    customers, folder = stage
    with ExitStack() as stack:
        sink = stack.enter_context(TimedSink(folder, notes=True))
        deployment = stack.enter_context(deployed(broker, shell, port=sink.port))
        asyncio.run(register(deployment, customers, sink.url))
        (port,) = free_ports(1)
        env = worker_environment(deployment, folder, port)
        sent: list[tuple[Sent, float]] = []
        with Measured(faust("streams.app"), env, folder / "worker.log") as worker:
            watcher.stage("Starting a worker")
            worker.reach(
                lambda: applied(port), COMMANDS_EACH * len(customers), every_s=_LOOK_EVERY_S
            )
            for stretch in stretches:
                watcher.stage(f"{stretch.plan.per_s:.0f} events a second")
                sent.append(_publish(stretch.plan, deployment, folder))
                due = stretch.plan.first + len(stretch.moments)
                worker.reach(sink.received, due, every_s=_LOOK_EVERY_S)
        ordering = env.get("HOOKSEAL_ORDERING", "partition")
    # The notes are written when the sink ends.
    arrivals = sink.arrivals()
    return [
        replace(
            latencies_of(stretch.plan, stretch.moments, one, arrivals, warm_up_s=WARM_UP_S),
            share=stretch.share,
            ordering=ordering,
            machine_busy=busy,
        )
        for stretch, (one, busy) in zip(stretches, sent, strict=True)
    ]


def _publish(plan: Plan, deployment: Deployment, folder: Path) -> tuple[Sent, float]:
    """Return how it went, and how busy the whole machine was meanwhile."""
    file = folder / f"plan-{plan.first}"
    file.write_text(plan.text())
    psutil.cpu_percent()
    sent = Sent(**figures_of("hookseal.bench.open_loop", str(file), env=deployment.env))
    return sent, psutil.cpu_percent() / 100
