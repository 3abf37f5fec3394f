"""Publishing over HTTP: one API process, 32 connections, every event acknowledged by Kafka."""

from __future__ import annotations

import asyncio
import base64
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.deployment import deployed, records_in
from benchmarks.load import write_tenants
from benchmarks.process import Measured, figures_of, page_at
from benchmarks.publish_load import KINDS, make_tenants, write_requests
from benchmarks.publish_wrk import has_wrk, run_wrk
from hookseal.kafka.broker.ports import HOST, free_ports
from hookseal.seal.api_keys import new_admin_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.deployment import Deployment
    from benchmarks.publish_load import Kind
    from benchmarks.scenario import Setup

CONNECTIONS = 32
_LOOK_EVERY_S = 0.1
_MB = 1_000_000
# Ids grow from run to run: none is a repeat.
_IDS_EACH = 10_000_000


@dataclass(frozen=True, slots=True)
class PublishRun:
    """What one run came to."""

    kind: str  # Of request
    requests: int  # Answered
    errors: int  # Of these, what was no 202
    requests_per_s: float  # Answered in a second
    events_per_s: float  # Acknowledged in a second
    p50_s: float  # Half of the answers came sooner
    p99_s: float  # Of a hundred answers one took longer
    cpu_us: float  # Microseconds of the API process's CPU for each event
    rss_bytes: int  # Of the API process, at the end
    written: int  # Records on the topic that were not there before

    def is_exact(self, events_each: int) -> bool:
        """Return whether all that was acknowledged was written, and all was acknowledged."""
        answered = self.requests * events_each
        # What was under way at the end is written, but not counted.
        at_most = (self.requests + CONNECTIONS) * events_each
        return self.errors == 0 and answered <= self.written <= at_most


def run_publish(setup: Setup, *, seconds: float, rounds: int) -> list[PublishRun]:
    """Publish to one `hookseal api`; each kind of request in each round."""
    closed, port = free_ports(2)
    admin_key = new_admin_key()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hookseal-bench-")))
        deployment = stack.enter_context(deployed(setup, port=closed))
        setup.watcher.stage("Making tenants")
        master_key = base64.b64decode(deployment.env["HOOKSEAL_MASTER_KEY"])
        tenants, keys = make_tenants(master_key)
        asyncio.run(write_tenants(deployment, tenants))
        for kind in KINDS:
            write_requests(kind, keys, admin_key, folder / kind.name)
        program = str(Path(sys.executable).with_name("hookseal"))
        command = [program, "api", "--host", HOST, "--port", str(port)]
        env = {**deployment.env, "HOOKSEAL_ADMIN_KEY": admin_key}
        api = stack.enter_context(Measured(command, env, folder / "api.log"))
        looks = api.watch(lambda: page_at(port, "/readyz") == '{"status":"ok"}', every_s=0.1)
        next(ready for ready in looks if ready)
        runs: list[PublishRun] = []
        for number in range(rounds):
            for kind in KINDS:
                setup.watcher.stage(f"Publishing, {kind.title}, round {number + 1} of {rounds}")
                first = len(runs) * _IDS_EACH
                client = _Client(deployment, port, folder / kind.name, seconds, first)
                runs.append(_run(deployment, api, kind, client))
        return runs


@dataclass(frozen=True, slots=True)
class _Client:
    """Where to, with what, for how long."""

    deployment: Deployment
    port: int
    requests: Path
    seconds: float
    first: int

    def run(self) -> dict[str, Any]:
        url = f"http://{HOST}:{self.port}/v1/events"
        if has_wrk():
            return run_wrk(
                url,
                self.requests,
                env=self.deployment.env,
                connections=CONNECTIONS,
                seconds=self.seconds,
                first=self.first,
            )
        return figures_of(
            "benchmarks.publish_client",
            url,
            str(self.requests),
            *map(str, (CONNECTIONS, self.seconds, self.first)),
            env=self.deployment.env,
        )


def _run(deployment: Deployment, api: Measured, kind: Kind, client: _Client) -> PublishRun:
    topic = deployment.names.events
    before, cpu_s = asyncio.run(records_in(deployment, topic)), api.cpu_s
    figures = client.run()
    cpu_s = api.cpu_s - cpu_s
    answered = figures["requests"] * kind.events
    return PublishRun(
        kind=kind.name,
        requests=figures["requests"],
        errors=figures["errors"],
        requests_per_s=figures["requests"] / figures["seconds"],
        events_per_s=answered / figures["seconds"],
        p50_s=figures["p50_s"],
        p99_s=figures["p99_s"],
        cpu_us=cpu_s / max(1, answered) * 1e6,
        rss_bytes=api.rss_bytes,
        written=asyncio.run(records_in(deployment, topic)) - before,
    )


def publish_figures(runs: Sequence[PublishRun], broker: str) -> dict[str, Any]:
    """Return all figures."""
    events = {kind.name: kind.events for kind in KINDS}
    return {
        "broker": broker,
        "connections": CONNECTIONS,
        "client": "wrk" if has_wrk() else "aiohttp",
        "runs": [asdict(run) for run in runs],
        "exact": all(run.is_exact(events[run.kind]) for run in runs),
    }


def publish_rows(runs: Sequence[PublishRun]) -> list[tuple[object, ...]]:
    """Return the best run of each kind: what, rates, milliseconds, CPU, all rates, MB."""
    rows: list[tuple[object, ...]] = []
    for kind in KINDS:
        of_kind = [run for run in runs if run.kind == kind.name]
        best = max(of_kind, key=lambda run: run.events_per_s)
        low = min(run.requests_per_s for run in of_kind)
        rows.append(
            (
                kind.title,
                round(best.requests_per_s),
                round(best.events_per_s),
                f"{best.p50_s * 1000:.1f}",
                f"{best.p99_s * 1000:.1f}",
                round(best.cpu_us),
                f"{low:.0f}-{best.requests_per_s:.0f}",
                round(best.rss_bytes / _MB),
            )
        )
    return rows
