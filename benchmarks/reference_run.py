"""Runs the reference: a consumer on kafkajs, as a team writes it for itself; nothing is sealed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.meter import Pace
from benchmarks.scenario import PARTITIONS
from hookseal.config import load
from hookseal.errors import ConfigurationError, HooksealError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.deployment import Deployment
    from benchmarks.sink import Sink
    from hookseal.kafka.cluster import Cluster
    from tests.brokers import Broker

_SOURCE = Path(__file__).with_name("reference")
_PROGRAM, _LOCK = "consumer.mjs", "package-lock.json"
_INSTALL_TIMEOUT_S = 120.0
# kafkajs joins its group in some five seconds; after that, so slow it is nowhere.
_START_S = 90.0
_SLOWEST_PER_S = 100


def install_reference() -> str:
    """Install the packages that its lock file names, if need be; return the path of `node`.

    Raises:
        ConfigurationError: `node_missing`, `reference_not_installed`.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise ConfigurationError(
            "node_missing",
            "The consumer to compare with runs on Node; install Node 20 or newer, and npm.",
        )
    wanted = _SOURCE / _LOCK
    with _alone(wanted):
        # npm writes this one last.
        installed = _SOURCE / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            _install(npm)
    return node


def why_no_reference(broker: Broker) -> str | None:
    """Install it; return why it cannot be run against this broker, None if it can."""
    try:
        install_reference()
        if broker.kind == "bootstrap":
            _check_open(load().cluster)
    except ConfigurationError as error:
        return error.message
    return None


def run_reference(deployment: Deployment, sink: Sink, *, events: int) -> Pace:
    """Run it over all events, in a consumer group of its own; return what it measured itself.

    Args:
        deployment: Where the events stand; the worker's offsets are not touched.

    Raises:
        ConfigurationError: As `install_reference`; `reference_cluster_secured`.
        HooksealError: `bench_process_ended`, `bench_stalled`; `reference_not_exact`, if it did
            not deliver each event once.
    """
    _check_open(deployment.cluster)
    node = install_reference()
    before = sink.received()
    pace = _pace(node, _environment(deployment, sink, events), events)
    received = sink.received() - before
    if received != events:
        raise HooksealError(
            "reference_not_exact",
            f"The consumer to compare with sent {received} requests for {events} events; "
            "run it again, and on a cluster that nobody restarts meanwhile.",
        )
    return pace


def _check_open(cluster: Cluster) -> None:
    if cluster.has_tls or cluster.has_sasl:
        raise ConfigurationError(
            "reference_cluster_secured",
            "The consumer to compare with speaks to a cluster without TLS and SASL only.",
        )


def _environment(deployment: Deployment, sink: Sink, events: int) -> dict[str, str]:
    names = deployment.names
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "NODE_NO_WARNINGS": "1",
        "BROKERS": deployment.cluster.bootstrap,
        "TOPIC": names.events,
        "DEAD_LETTERS": names.dead_letters,
        "GROUP": f"{deployment.cluster.topic_prefix}reference",
        "SINK": sink.url(""),
        "PARTITIONS": str(PARTITIONS),
        "EVENTS": str(events),
    }


def _pace(node: str, env: dict[str, str], events: int) -> Pace:
    timeout_s = _START_S + events / _SLOWEST_PER_S
    try:
        run = subprocess.run(  # noqa: S603 - our own program
            [node, str(_SOURCE / _PROGRAM)],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise HooksealError(
            "bench_stalled",
            f"The consumer to compare with was not done within {timeout_s:.0f} s; "
            "look whether the broker answers.",
        ) from None
    if run.returncode != 0 or not run.stdout:
        raise HooksealError(
            "bench_process_ended",
            f"The consumer to compare with ended with {run.returncode}: {run.stderr}",
        )
    return Pace(**json.loads(run.stdout.splitlines()[-1]))


def _install(npm: str) -> None:
    try:
        subprocess.run(  # noqa: S603 - npm, with what our lock names
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=_SOURCE,
            stdin=subprocess.DEVNULL,
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().partition("\n")[0]
        raise ConfigurationError(
            "reference_not_installed",
            "npm could not install the consumer to compare with; check that it reaches a "
            f"registry. It said: {said}",
        ) from None


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold other processes off while this one installs."""
    with file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
