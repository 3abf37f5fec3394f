"""All runs, in turns, so that what else the machine does falls on each of them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from hookseal.bench.bare_run import run_bare
from hookseal.bench.deployment import deployed
from hookseal.bench.idle_run import run_idle
from hookseal.bench.load import make_customers, publish, register
from hookseal.bench.memory_run import run_memory
from hookseal.bench.sealing import body_bytes, make_keys, seal_us
from hookseal.bench.sink import Sink
from hookseal.bench.worker_run import run_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.bench.load import Customer
    from hookseal.bench.memory_run import MemoryRun
    from hookseal.bench.meter import Pace
    from hookseal.bench.scenario import Scenario
    from hookseal.bench.worker_run import WorkerRun
    from hookseal.kafka.broker import Broker
    from hookseal.seal.keys import EncryptionKey, KeyKind

__all__ = ["Bench", "Results", "Round", "Watcher"]


class Watcher(Protocol):
    """Hears of what is under way."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Something begins that has this many steps."""
        ...

    def done(self, steps: int) -> None:
        """So many steps are done."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One run of each kind.

    Attributes:
        worker: hookseal.
        idle: The agent that does nothing.
        bare: The loop of plain requests.
        seal_us: Microseconds to seal and sign, by kind of key.
    """

    worker: WorkerRun
    idle: Pace
    bare: Pace
    seal_us: Mapping[KeyKind, float]


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured."""

    rounds: Sequence[Round]
    memory: MemoryRun | None


class Bench:
    """The benchmark on a broker that runs."""

    def __init__(
        self, broker: Broker, scenario: Scenario, shell: Mapping[str, str], watcher: Watcher
    ) -> None:
        """Prepare.

        Args:
            broker: Where.
            scenario: How much.
            shell: The environment that the benchmark was started with.
            watcher: Told how it goes.
        """
        self._broker = broker
        self._scenario = scenario
        self._shell = shell
        self._watcher = watcher

    def run(self, logs: Path | None = None) -> Results:
        """Measure.

        Args:
            logs: An empty folder to keep the processes' logs in.

        Raises:
            HooksealError: A run could not be made or measured.
        """
        with ExitStack() as stack:
            folder = logs or Path(stack.enter_context(TemporaryDirectory(prefix="hookseal-bench-")))
            self._watcher.stage("Making keys")
            customers, keys = make_customers(), make_keys()
            sink = stack.enter_context(Sink(folder))
            rounds = [
                self._round(number, customers, keys, sink, _made(folder / f"round-{number}"))
                for number in range(1, self._scenario.rounds + 1)
            ]
            memory = self._memory(customers, folder) if self._scenario.waiting else None
        return Results(rounds, memory)

    def _round(
        self,
        number: int,
        customers: list[Customer],
        keys: Mapping[KeyKind, EncryptionKey],
        sink: Sink,
        folder: Path,
    ) -> Round:
        events = self._scenario.events
        of = f"round {number} of {self._scenario.rounds}"
        with deployed(self._broker, self._shell, port=sink.port) as deployment:
            self._watcher.stage(f"Publishing, {of}")
            asyncio.run(register(deployment, customers, sink.url))
            asyncio.run(publish(deployment, customers, events))
            self._watcher.stage(f"Delivering, {of}", events)
            worker = run_worker(
                deployment, sink, folder, events=events, on_progress=self._watcher.done
            )
            self._watcher.stage(f"Doing nothing, {of}")
            idle = run_idle(deployment, folder, events=events)
            self._watcher.stage(f"Bare requests, {of}")
            bare = run_bare(
                sink.url("bare"),
                deployment.env,
                requests=events,
                body_bytes=body_bytes(keys["rsa-2048"]),
            )
        self._watcher.stage(f"Sealing, {of}")
        sealed = {kind: seal_us(key, self._scenario.seals) for kind, key in keys.items()}
        return Round(worker, idle, bare, sealed)

    def _memory(self, customers: list[Customer], folder: Path) -> MemoryRun:
        self._watcher.stage("Filling every queue")
        return run_memory(
            self._broker, self._shell, customers, folder, waiting=self._scenario.waiting
        )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
