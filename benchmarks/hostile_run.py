"""What hostile receivers cost their neighbours: latency with them and without, in turns.

Open loop: events are published at their times, whatever became of those before them, and
latency counts from then; a stall delays all that should have been published meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from benchmarks.deployment import deployed
from benchmarks.load import make_customers, register
from benchmarks.process import Measured, faust
from benchmarks.sample import event_value
from benchmarks.scenario import PARTITIONS
from benchmarks.worker_run import worker_environment
from hookseal.kafka.broker.ports import free_ports
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup

_DRIP_S = 0.05
_FOREVER_S = 3600.0
_BLOCK = b"x" * 65_536


class HostileSink:
    """Serves `/neighbour/<customer>` and `/hostile/<number>`; a context manager.

    Attributes:
        arrived: Seconds of `time.perf_counter` at which a neighbour was sent an event, first
            time, by event id.
        hostile: Requests to hostile receivers, by what they do.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.hostile: dict[str, int] = defaultdict(int)
        self._kinds: list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("hangs", _hang),
            ("drips", _drip),
            ("never ends", _pour),
            ("resets", _reset),
        ]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/neighbour/{customer}", self._neighbour)
        app.router.add_post("/hostile/{number}", self._hostile)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def url(self, kind: str, name: str) -> str:
        """Return a receiver's URL."""
        return f"http://127.0.0.1:{self.port}/{kind}/{name}"

    async def _neighbour(self, request: web.Request) -> web.Response:
        await request.read()
        self.arrived.setdefault(request.headers["webhook-id"], time.perf_counter())
        return web.Response()

    async def _hostile(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        name, behave = self._kinds[int(request.match_info["number"]) % len(self._kinds)]
        self.hostile[name] += 1
        with suppress(ConnectionError):
            # The worker hangs up, which is what it should.
            return await behave(request)
        return web.Response()


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(_FOREVER_S)
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(_DRIP_S)


async def _pour(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(_BLOCK)


async def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


HOSTILE = 20
_PER_S = 200
_HOSTILE_PER_S = 20
_ATTEMPT_TIMEOUT_S = 2
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class HostileRun:
    """One stretch with hostile receivers, and one without; seconds."""

    quiet: tuple[float, ...]  # Latency of each event of a neighbour's, without
    beside: tuple[float, ...]  # The same with them
    hostile: int  # Requests that the hostile ones were sent


def run_hostile(setup: Setup, *, seconds: float, rounds: int) -> list[HostileRun]:
    """Measure it, in the order `customer`, with one worker."""
    setup.watcher.stage("Making keys")
    neighbours = make_customers()
    hostile = [
        replace(
            neighbours[number % len(neighbours)],
            customer_id=f"hostile-{number}",
            partition=partition_of(f"hostile-{number}", PARTITIONS),
        )
        for number in range(HOSTILE)
    ]
    (port,) = free_ports(1)
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        return asyncio.run(_run(setup, (neighbours, hostile), (seconds, rounds), Path(name), port))


async def _run(
    setup: Setup,
    customers: tuple[list[Customer], list[Customer]],
    scale: tuple[float, int],
    folder: Path,
    port: int,
) -> list[HostileRun]:
    neighbours, hostile = customers
    seconds, rounds = scale
    async with HostileSink() as sink:
        # Of its own loop: it makes and removes the topics.
        entering = deployed(setup, port=sink.port)
        deployment = await asyncio.to_thread(entering.__enter__)
        try:
            env = {
                **worker_environment(deployment, folder, port),
                "HOOKSEAL_ORDERING": "customer",
                "HOOKSEAL_ATTEMPT_TIMEOUT_S": str(_ATTEMPT_TIMEOUT_S),
            }
            await register(deployment, neighbours, lambda each: sink.url("neighbour", each))
            await register(
                deployment, hostile, lambda each: sink.url("hostile", each.rpartition("-")[2])
            )
            with Measured(faust("streams.app"), env, folder / "worker.log"):
                load = _Load(deployment, sink, neighbours, hostile)
                async with Producer(deployment.cluster) as producer:
                    setup.watcher.stage("Warming up")
                    await load.stretch(producer, 2.0, beside=False)
                    runs = []
                    for number in range(1, rounds + 1):
                        found: dict[bool, tuple[float, ...]] = {}
                        for beside in (False, True) if number % 2 else (True, False):
                            kind = "Beside hostile receivers" if beside else "Without them"
                            setup.watcher.stage(f"{kind}, round {number}")
                            found[beside] = await load.stretch(producer, seconds, beside=beside)
                        runs.append(HostileRun(found[False], found[True], load.hostile_sent()))
            return runs
        finally:
            await asyncio.to_thread(entering.__exit__, None, None, None)


class _Load:
    def __init__(
        self,
        deployment: Deployment,
        sink: HostileSink,
        neighbours: Sequence[Customer],
        hostile: Sequence[Customer],
    ) -> None:
        self._deployment = deployment
        self._sink = sink
        self._neighbours = neighbours
        self._hostile = hostile
        self._number = 0

    def hostile_sent(self) -> int:
        return sum(self._sink.hostile.values())

    async def stretch(
        self, producer: Producer, seconds: float, *, beside: bool
    ) -> tuple[float, ...]:
        """Publish for so long; return the latency of each event of a neighbour's."""
        due: dict[str, float] = {}
        writing: set[asyncio.Task[object]] = set()
        began = time.perf_counter()
        for tick in range(int(seconds * _PER_S)):
            at = began + tick / _PER_S
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            sender = self._neighbours[tick % len(self._neighbours)]
            due[self._write(producer, sender, writing)] = at
            if beside and tick % (_PER_S // _HOSTILE_PER_S) == 0:
                self._write(producer, self._hostile[self._number % HOSTILE], writing)
        async with asyncio.timeout(_PATIENCE_S):
            while not due.keys() <= self._sink.arrived.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return tuple(self._sink.arrived[event_id] - at for event_id, at in due.items())

    def _write(
        self, producer: Producer, customer: Customer, writing: set[asyncio.Task[object]]
    ) -> str:
        self._number += 1
        task: asyncio.Task[object] = asyncio.create_task(
            producer.publish(
                self._deployment.names.events,
                key=customer.customer_id.encode(),
                value=event_value(self._number),
                partition=customer.partition,
            )
        )
        writing.add(task)
        task.add_done_callback(writing.discard)
        return f"evt_{self._number:012d}"


def hostile_figures(runs: Sequence[HostileRun], broker: str) -> dict[str, Any]:
    """Return all figures; milliseconds."""

    def at(percent: int, kind: str) -> list[float]:
        return [
            1000 * quantiles(getattr(run, kind), n=100, method="inclusive")[percent - 1]
            for run in runs
        ]

    return {
        "broker": broker,
        "rounds": len(runs),
        "hostile_receivers": HOSTILE,
        "hostile_requests": runs[-1].hostile,
        "events": sum(len(run.quiet) + len(run.beside) for run in runs),
        **{
            f"{kind}_p{percent}_ms": at(percent, kind)
            for kind in ("quiet", "beside")
            for percent in (50, 99)
        },
    }


def hostile_line(figures: Mapping[str, Any]) -> str:
    """Return the figures as one line."""

    def of(name: str) -> str:
        return f"{median(figures[name]):.1f}"

    return (
        f"{_PER_S} events a second for 24 neighbours, p50 and p99 from due to arrival: "
        f"{of('quiet_p50_ms')} and {of('quiet_p99_ms')} ms; beside {HOSTILE} hostile receivers "
        f"{of('beside_p50_ms')} and {of('beside_p99_ms')} ms "
        f"({figures['hostile_requests']} requests to them)"
    )
