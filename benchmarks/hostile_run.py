"""What troublesome receivers cost their neighbours: latency with them and without, in turns.

- `hostile`: receivers of other customers hang, drip, never end and reset.
- `flood`: another customer of the partition gets 1,000 events/s and takes 0.5 s for each.
- `siblings`: each neighbour has two more endpoints; one takes 0.5 s, the other one answers 503.

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
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

from aiohttp import web

from benchmarks.deployment import deployed
from benchmarks.load import make_customers, register
from benchmarks.process import Measured, faust
from benchmarks.sample import event_value
from benchmarks.scenario import PARTITIONS
from benchmarks.worker_run import worker_environment
from hookseal.domain.command import AddEndpoint
from hookseal.kafka.broker.ports import free_ports
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.tenants.commands import KafkaCommands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.load import Customer
    from benchmarks.scenario import Setup
    from hookseal.domain.endpoint import Ordering

_DRIP_S = 0.05
_SLOW_S = 0.5
_FOREVER_S = 3600.0
_BLOCK = b"x" * 65_536


class HostileSink:
    """Serves `/neighbour/`, `/hostile/`, `/slow/` and `/failing/<name>`; a context manager.

    Attributes:
        is_bad: Whether the slow ones are slow, and the failing ones fail.
        settled: What the slow and the failing ones accepted: their path and the event id.
        arrived: Seconds of `time.perf_counter` at which a neighbour was sent an event, first
            time, by event id.
        hostile: Requests to hostile receivers, by what they do.
    """

    def __init__(self) -> None:
        self.is_bad = False
        self.settled: set[tuple[str, str]] = set()
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
        app.router.add_post("/{kind:slow|failing}/{customer}", self._sometimes_bad)
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

    async def _sometimes_bad(self, request: web.Request) -> web.Response:
        await request.read()
        self.hostile[kind := request.match_info["kind"]] += 1
        if self.is_bad:
            if kind == "failing":
                return web.Response(status=503)
            await asyncio.sleep(_SLOW_S)
        self.settled.add((request.path, request.headers["webhook-id"]))
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
_ATTEMPT_TIMEOUT_S = 2
_PATIENCE_S = 60.0
_DRAINED_S = 300.0
Trouble = Literal["hostile", "flood", "siblings"]
# Events a second for the troublesome customers.
_TROUBLE_PER_S: dict[Trouble, int] = {"hostile": 20, "flood": 1000, "siblings": 0}


@dataclass(frozen=True, slots=True)
class HostileRun:
    """One stretch with trouble, and one without; seconds."""

    quiet: tuple[float, ...]  # Latency of each event of a neighbour's, without
    beside: tuple[float, ...]  # The same with it
    hostile: int  # Requests that the troublesome receivers were sent


@dataclass(frozen=True, slots=True)
class _Cast:
    """Whose latency is measured, and who makes trouble."""

    trouble: Trouble
    neighbours: list[Customer]
    others: list[Customer]

    @property
    def sibling_paths(self) -> tuple[str, ...]:
        return ("slow", "failing") if self.trouble == "siblings" else ()


def run_hostile(
    setup: Setup,
    *,
    seconds: float,
    rounds: int,
    trouble: Trouble = "hostile",
    ordering: Ordering = "customer",
) -> list[HostileRun]:
    """Measure it with one worker."""
    setup.watcher.stage("Making keys")
    neighbours = make_customers()
    others = [
        replace(
            neighbours[number % len(neighbours)],
            customer_id=f"hostile-{number}",
            partition=partition_of(f"hostile-{number}", PARTITIONS),
        )
        for number in range(HOSTILE)
    ]
    if trouble == "flood":
        others = others[:1]
        neighbours = [one for one in neighbours if one.partition == others[0].partition]
    elif trouble == "siblings":
        others = []
    (port,) = free_ports(1)
    with TemporaryDirectory(prefix="hookseal-bench-") as name:
        cast = _Cast(trouble, neighbours, others)
        return asyncio.run(_run(setup, cast, (seconds, rounds), ordering, (Path(name), port)))


async def _run(
    setup: Setup,
    cast: _Cast,
    scale: tuple[float, int],
    ordering: Ordering,
    place: tuple[Path, int],
) -> list[HostileRun]:
    seconds, rounds = scale
    folder, port = place
    async with HostileSink() as sink:
        # Of its own loop: it makes and removes the topics.
        entering = deployed(setup, port=sink.port)
        deployment = await asyncio.to_thread(entering.__enter__)
        try:
            env = {
                **worker_environment(deployment, folder, port),
                "HOOKSEAL_ORDERING": ordering,
                "HOOKSEAL_ATTEMPT_TIMEOUT_S": str(_ATTEMPT_TIMEOUT_S),
                "HOOKSEAL_PROBE_BASE_S": "1",
                "HOOKSEAL_PROBE_CAP_S": "2",
            }
            await _register(deployment, cast, sink)
            with Measured(faust("streams.app"), env, folder / "worker.log"):
                load = _Load(deployment, sink, cast)
                async with Producer(deployment.cluster) as producer:
                    setup.watcher.stage("Warming up")
                    await load.stretch(producer, 2.0, beside=False)
                    runs = []
                    for number in range(1, rounds + 1):
                        found: dict[bool, tuple[float, ...]] = {}
                        for beside in (False, True) if number % 2 else (True, False):
                            kind = f"Beside {cast.trouble}" if beside else "Without trouble"
                            setup.watcher.stage(f"{kind}, round {number}")
                            found[beside] = await load.stretch(producer, seconds, beside=beside)
                        runs.append(HostileRun(found[False], found[True], load.hostile_sent()))
            return runs
        finally:
            await asyncio.to_thread(entering.__exit__, None, None, None)


async def _register(deployment: Deployment, cast: _Cast, sink: HostileSink) -> None:
    await register(deployment, cast.neighbours, lambda each: sink.url("neighbour", each))
    kind = "slow" if cast.trouble == "flood" else "hostile"
    await register(deployment, cast.others, lambda each: sink.url(kind, each.rpartition("-")[2]))
    async with Producer(deployment.cluster) as producer:
        commands = KafkaCommands(producer, deployment.names, deployment.codec)
        for customer in cast.neighbours:
            for path in cast.sibling_paths:
                await commands.submit(
                    AddEndpoint(
                        customer_id=customer.customer_id,
                        id=uuid4().hex,
                        at=0.0,
                        endpoint_id=path,
                        url=sink.url(path, customer.customer_id),
                        event_types=("order.*",),
                    )
                )


class _Load:
    def __init__(self, deployment: Deployment, sink: HostileSink, cast: _Cast) -> None:
        self._deployment = deployment
        self._sink = sink
        self._cast = cast
        self._number = 0

    def hostile_sent(self) -> int:
        return sum(self._sink.hostile.values())

    async def stretch(
        self, producer: Producer, seconds: float, *, beside: bool
    ) -> tuple[float, ...]:
        """Publish for so long; return the latency of each event of a neighbour's."""
        cast = self._cast
        due: dict[str, float] = {}
        owed: set[tuple[str, str]] = set()
        writing: set[asyncio.Task[object]] = set()
        self._sink.is_bad = beside
        trouble_due, trouble_sent = 0.0, 0
        began = time.perf_counter()
        for tick in range(int(seconds * _PER_S)):
            at = began + tick / _PER_S
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            sender = cast.neighbours[tick % len(cast.neighbours)]
            due[event_id := self._write(producer, sender, writing)] = at
            owed |= {(f"/{path}/{sender.customer_id}", event_id) for path in cast.sibling_paths}
            trouble_due += _TROUBLE_PER_S[cast.trouble] / _PER_S if beside else 0
            while trouble_sent < int(trouble_due):
                trouble_sent += 1
                other = cast.others[trouble_sent % len(cast.others)]
                event_id = self._write(producer, other, writing)
                if cast.trouble == "flood":
                    owed.add((f"/slow/{other.customer_id.rpartition('-')[2]}", event_id))
        async with asyncio.timeout(_PATIENCE_S):
            while not due.keys() <= self._sink.arrived.keys():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        # Nothing of one stretch is left for the next one.
        self._sink.is_bad = False
        async with asyncio.timeout(_DRAINED_S):
            while not owed <= self._sink.settled:  # noqa: ASYNC110
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


def hostile_figures(
    runs: Sequence[HostileRun],
    broker: str,
    trouble: Trouble = "hostile",
    ordering: Ordering = "customer",
) -> dict[str, Any]:
    """Return all figures; milliseconds."""

    def at(percent: int, kind: str) -> list[float]:
        return [
            1000 * quantiles(getattr(run, kind), n=100, method="inclusive")[percent - 1]
            for run in runs
        ]

    return {
        "broker": broker,
        "trouble": trouble,
        "ordering": ordering,
        "rounds": len(runs),
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
        f"{_PER_S} events a second for neighbours, mode {figures['ordering']}, p50 and p99 from "
        f"due to arrival: {of('quiet_p50_ms')} and {of('quiet_p99_ms')} ms; beside "
        f"{figures['trouble']} {of('beside_p50_ms')} and {of('beside_p99_ms')} ms "
        f"({figures['hostile_requests']} requests to the troublesome receivers)"
    )
