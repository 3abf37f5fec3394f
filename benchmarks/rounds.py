"""All runs, in turns, so that what else the machine does falls on each of them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.bare_loop import run_bare
from benchmarks.deployment import deployed
from benchmarks.load import make_customers, publish, register
from benchmarks.reference_run import run_reference, why_no_reference
from benchmarks.sample import body_bytes, make_keys, seal_us
from benchmarks.sink import Sink
from benchmarks.worker_run import run_idle, run_memory, run_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.meter import Pace
    from benchmarks.scenario import Scenario, Setup
    from benchmarks.worker_run import MemoryRun, WorkerRun
    from hookseal.seal.encrypt import EncryptionKey
    from hookseal.seal.keys import KeyKind

# A name, a title, what to do.
_Step: TypeAlias = "tuple[str, str, Callable[[], object]]"


@dataclass(frozen=True, slots=True)
class Round:
    """One run of each kind."""

    worker: WorkerRun  # hookseal
    idle: Pace  # The agent that does nothing
    bare: Pace  # The loop of plain requests
    reference: Pace | None  # The consumer on kafkajs; None where it cannot run
    seal_us: Mapping[KeyKind, float]  # Microseconds to seal and sign, by kind of key


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured."""

    rounds: Sequence[Round]  # Each round
    memory: MemoryRun | None  # None if it was not asked for
    without_reference: str | None  # Why there is no consumer on kafkajs; None where there is


@dataclass(frozen=True, slots=True)
class _Stage:
    """What all rounds share."""

    customers: list[Customer]
    keys: Mapping[KeyKind, EncryptionKey]
    sink: Sink
    with_reference: bool


class Bench:
    """The benchmark on a broker that runs."""

    def __init__(self, setup: Setup, scenario: Scenario) -> None:
        self._setup = setup
        self._scenario = scenario
        self._watcher = setup.watcher

    def run(self, logs: Path | None = None) -> Results:
        """Measure.

        Args:
            logs: An empty folder to keep the processes' logs in.
        """
        with ExitStack() as stack:
            folder = logs or Path(stack.enter_context(TemporaryDirectory(prefix="hookseal-bench-")))
            self._watcher.stage("Installing the consumer to compare with")
            without_reference = why_no_reference(self._setup.broker)
            if without_reference is not None:
                self._watcher.stage(f"Going on without it: {without_reference}")
            self._watcher.stage("Making keys")
            customers, keys = make_customers(), make_keys()
            sink = stack.enter_context(Sink(folder))
            stage = _Stage(customers, keys, sink, with_reference=without_reference is None)
            rounds = [
                self._round(number, stage, _made(folder / f"round-{number}"))
                for number in range(1, self._scenario.rounds + 1)
            ]
            memory = self._memory(customers, folder) if self._scenario.waiting else None
        return Results(rounds, memory, without_reference)

    def _round(self, number: int, stage: _Stage, folder: Path) -> Round:
        of = f"round {number} of {self._scenario.rounds}"
        with deployed(self._setup, port=stage.sink.port) as deployment:
            self._watcher.stage(f"Publishing, {of}")
            asyncio.run(register(deployment, stage.customers, stage.sink.url))
            asyncio.run(publish(deployment, stage.customers, self._scenario.events))
            steps = self._steps(deployment, stage, folder)
            done: dict[str, Any] = {"reference": None}
            # Now this first, now that: what a machine does over time falls on each.
            for name, title, run in steps if number % 2 else reversed(steps):
                self._watcher.stage(f"{title}, {of}", self._scenario.events)
                done[name] = run()
        self._watcher.stage(f"Sealing, {of}")
        sealed = {kind: seal_us(key, self._scenario.seals) for kind, key in stage.keys.items()}
        return Round(**done, seal_us=sealed)

    def _steps(self, deployment: Deployment, stage: _Stage, folder: Path) -> Sequence[_Step]:
        events, sink = self._scenario.events, stage.sink
        body = body_bytes(stage.keys["rsa-2048"])
        reference: _Step = (
            "reference",
            "Delivering with kafkajs",
            lambda: run_reference(deployment, sink, events=events),
        )
        return (
            (
                "worker",
                "Delivering",
                lambda: run_worker(
                    deployment, sink, folder, events=events, on_progress=self._watcher.done
                ),
            ),
            *((reference,) if stage.with_reference else ()),
            (
                "bare",
                "Bare requests",
                lambda: run_bare(
                    sink.url("bare"), deployment.env, requests=events, body_bytes=body
                ),
            ),
            ("idle", "Doing nothing", lambda: run_idle(deployment, folder, events=events)),
        )

    def _memory(self, customers: list[Customer], folder: Path) -> MemoryRun:
        self._watcher.stage("Filling every queue")
        return run_memory(self._setup, customers, folder, waiting=self._scenario.waiting)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
