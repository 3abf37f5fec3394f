"""One worker process and two, on the same machine, and the consumer on kafkajs beside them.

The rate must hold no start and no rebalance. So workers begin on an empty log, and a tenth
of the events shows that each of them delivers; only then the rest is published, at once. It
is measured from half of the events, or from when all are published if that is later, since
the publisher takes CPU from them, until nine tenths are delivered. Both kinds are measured
over the same events that way. A few thousand events are the least.

The consumer on kafkajs, which has one process, takes the events of each round as well.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from benchmarks.deployment import deployed
from benchmarks.load import make_customers, publish, register
from benchmarks.meter import Sample, pace_of, paces_figures
from benchmarks.process import Measured, cpu_s_of, page_at
from benchmarks.reference_run import run_reference, why_no_reference
from benchmarks.sink import Sink
from benchmarks.worker_run import WorkerRun, accepted, dead_letters_of, worker_environment
from hookseal.errors import HooksealError
from hookseal.kafka.broker.ports import HOST, free_ports
from hookseal.kafka.broker.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.meter import Pace
    from benchmarks.scenario import Setup, Watcher

LOOK_EVERY_S = 0.04
_T = TypeVar("_T")


class Team(Measured):
    """A command and what it started, together."""

    @property
    def pid(self) -> int:
        """The command's process."""
        return int(self._process.pid)

    def count_in(self) -> None:
        """Count what it has started by now."""
        self._all = [self._process, *self._process.children(recursive=True)]

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, of all."""
        return sum(self._each(cpu_s_of))

    @property
    def rss_bytes(self) -> int:
        """Bytes of memory that are resident now; what they share counts for each."""
        return sum(self._each(_rss_bytes))

    def _each(self, figure: Callable[[psutil.Process], _T]) -> list[_T]:
        try:
            return [figure(process) for process in self._all]
        except psutil.NoSuchProcess:
            raise HooksealError(
                "bench_process_ended",
                f"A worker ended; it said last: {last_lines(self._child.log)}",
            ) from None


def _rss_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def command(processes: int) -> list[str]:
    """Return the command that runs so many workers, of this very environment."""
    program = str(Path(sys.executable).with_name("hookseal"))
    return [program, "worker", "--processes", str(processes)]


def is_ready(port: int) -> bool:
    """Return whether a worker says that it has its partitions and works on them."""
    text = page_at(port, "/readyz")
    return text is not None and json.loads(text).get("status") == "ok"


def ports_in_a_row(count: int) -> list[int]:
    """Return ports that nothing listens on, one after the other."""
    while True:
        (first,) = free_ports(1)
        ports = list(range(first, first + count))
        with ExitStack() as held:
            try:
                for port in ports:
                    held.enter_context(socket.socket()).bind((HOST, port))
            except OSError:
                continue
            return ports


SCALE_COLUMNS = (
    "processes",
    "per s",
    "times one",
    "times kafkajs",
    "CPU us each",
    "CPUs busy",
    "rounds",
    "peak MB",
)

_PROCESSES = (1, 2)
# Of all events those that show that each worker delivers, and those before it is measured.
_FIRST, _BEFORE = 0.1, 0.5
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ScaleRun:
    """One round."""

    events: int  # Events of each run
    of: Mapping[int, WorkerRun]  # What so many processes did, all of them together
    reference: Pace | None = None  # What the consumer on kafkajs did; None where it cannot run

    @property
    def is_exact(self) -> bool:
        """Whether each event was delivered once, and none was given up."""
        return all(run.is_exact(self.events) for run in self.of.values())


def run_scale(setup: Setup, *, events: int, rounds: int) -> list[ScaleRun]:
    """Deliver the same events with one process and with two, in turns."""
    with TemporaryDirectory(prefix="hookseal-bench-") as name, Sink(Path(name)) as sink:
        setup.watcher.stage("Installing the consumer to compare with")
        with_reference = why_no_reference(setup.broker) is None
        setup.watcher.stage("Making keys")
        customers = make_customers()
        runs = []
        for number in range(1, rounds + 1):
            of: dict[int, WorkerRun] = {}
            reference = None
            # Now this first, now that: what a machine does over time falls on both.
            for processes in _PROCESSES if number % 2 else reversed(_PROCESSES):
                place = Path(name) / f"round-{number}-{processes}"
                place.mkdir()
                with deployed(setup, port=sink.port) as deployment:
                    setup.watcher.stage(
                        f"{processes} of {max(_PROCESSES)} processes, round {number}"
                    )
                    asyncio.run(register(deployment, customers, sink.url))
                    run = _Run(deployment, customers, sink, setup.watcher, events)
                    of[processes] = run.deliver(place, processes)
                    # Between the two, whichever of them comes first.
                    if with_reference and len(of) == 1:
                        setup.watcher.stage(f"Delivering with kafkajs, round {number}")
                        reference = run_reference(deployment, sink, events=events)
            runs.append(ScaleRun(events, of, reference))
        return runs


@dataclass(frozen=True, slots=True)
class _Run:
    deployment: Deployment
    customers: list[Customer]
    sink: Sink
    watcher: Watcher
    events: int

    @property
    def _first(self) -> int:
        return int(self.events * _FIRST)

    def deliver(self, folder: Path, processes: int) -> WorkerRun:
        ports = ports_in_a_row(processes)
        before = self.sink.received()
        samples: list[Sample] = []
        peak = 0
        env = worker_environment(self.deployment, folder, ports[0])
        with Team(command(processes), env, folder / "worker.log") as team:
            self._begin(team, ports)
            self._publish(self.events - self._first)
            self.watcher.stage(f"Delivering, {processes} processes", self.events)
            for done in team.watch(lambda: self.sink.received() - before, every_s=LOOK_EVERY_S):
                if done >= self.events * _BEFORE:
                    samples.append(Sample(time.perf_counter(), int(done), team.cpu_s))
                peak = max(peak, team.rss_bytes)
                self.watcher.done(int(done))
                if done >= self.events:
                    break
            # The last answers are still on their way.
            counts = team.reach(
                lambda: sum(map(accepted, ports)), self.events, every_s=LOOK_EVERY_S
            )
        return WorkerRun(
            pace=pace_of(samples, self.events),
            peak_rss_bytes=peak,
            received=self.sink.received() - before,
            accepted=counts,
            dead_letters=asyncio.run(dead_letters_of(self.deployment)),
        )

    def _begin(self, team: Team, ports: Sequence[int]) -> None:
        """Wait until all are ready, and each has delivered some of the first events."""
        team.reach(lambda: sum(map(is_ready, ports)), len(ports), every_s=LOOK_EVERY_S)
        team.count_in()
        self._publish(self._first)
        team.reach(lambda: sum(map(accepted, ports)), self._first, every_s=LOOK_EVERY_S)
        team.reach(
            lambda: sum(accepted(port) > 0 for port in ports), len(ports), every_s=LOOK_EVERY_S
        )

    def _publish(self, events: int) -> None:
        asyncio.run(publish(self.deployment, self.customers, events))


def scale_figures(runs: Sequence[ScaleRun], broker: str) -> dict[str, Any]:
    """Return all figures."""
    of = {str(processes): _figures([run.of[processes] for run in runs]) for processes in _PROCESSES}
    one, two = _PROCESSES
    return {
        "broker": broker,
        "events": runs[0].events,
        "rounds": len(runs),
        "processes": of,
        "reference": _reference_figures([run.reference for run in runs if run.reference]),
        # Of each round by itself: what a machine does meanwhile falls on both.
        "gain": median(run.of[two].pace.per_s / run.of[one].pace.per_s for run in runs),
        "to_reference": {
            str(processes): _to_reference(runs, processes) for processes in _PROCESSES
        },
        "exact": all(run.is_exact for run in runs),
    }


def _to_reference(runs: Sequence[ScaleRun], processes: int) -> float | None:
    ratios = [run.of[processes].pace.per_s / run.reference.per_s for run in runs if run.reference]
    return median(ratios) if ratios else None


def _reference_figures(paces: Sequence[Pace]) -> dict[str, Any] | None:
    if not paces:
        return None
    return paces_figures(paces) | {"cpus_busy": _cpus_busy(paces)}


def _cpus_busy(paces: Sequence[Pace]) -> float:
    return median(pace.per_s * pace.cpu_us / 1e6 for pace in paces)


def _figures(runs: Sequence[WorkerRun]) -> dict[str, Any]:
    paces = [run.pace for run in runs]
    return paces_figures(paces) | {
        "cpus_busy": _cpus_busy(paces),
        "peak_rss_bytes": max(run.peak_rss_bytes for run in runs),
        "received": [run.received for run in runs],
        "accepted": [run.accepted for run in runs],
        "dead_letters": [run.dead_letters for run in runs],
    }


def scale_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of `SCALE_COLUMNS`."""
    gains = {str(_PROCESSES[-1]): f"{figures['gain']:.2f}"}
    rows = [
        _row(
            processes,
            found,
            gains.get(processes, ""),
            figures["to_reference"][processes],
            f"{found['peak_rss_bytes'] / _MB:.0f}",
        )
        for processes, found in figures["processes"].items()
    ]
    if (reference := figures["reference"]) is not None:
        rows.append(_row("kafkajs, 1", reference, "", 1.0, ""))
    return rows


def _row(
    name: str, found: Mapping[str, Any], gain: str, to_reference: float | None, peak_mb: str
) -> tuple[object, ...]:
    return (
        name,
        f"{found['per_s']:,.0f}",
        gain,
        "" if to_reference is None else f"{to_reference:.2f}",
        f"{found['cpu_us']:.0f}",
        f"{found['cpus_busy']:.2f}",
        f"{min(found['rates']):,.0f}-{max(found['rates']):,.0f}",
        peak_mb,
    )
