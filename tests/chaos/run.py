"""Everything goes wrong, by a seed, and the books are compared at the end.

`make chaos`, or `python -m tests.chaos.run --help`. Apache Kafka with three nodes, three
workers, an API, receivers with moods: they fail, hang and are slow, also for longer than all
attempts take. Meanwhile workers are killed, frozen, added and taken away, nodes of Kafka and the
API are killed and started again, endpoints are paused, and producers abort transactions or leave
them open.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from hookseal.domain.dead_letter import SUSPENDED, added_headers
from hookseal.domain.record import last_header
from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.kafka.topics import TopicNames
from tests.brokers import start_broker
from tests.brokers.reading import read_all
from tests.builders import MASTER_KEY
from tests.chaos.crew import Crew
from tests.chaos.load import ORDERING_KEYS, Endpoint, Load
from tests.chaos.picture import picture
from tests.chaos.plan import KINDS, faults, moods
from tests.chaos.receivers import Receivers
from tests.chaos.report import Done, Report, as_json, judge, pauses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hookseal.domain.record import Headers
    from tests.brokers import ApacheBroker
    from tests.chaos.plan import Fault, FaultKind

__all__ = ["Scale", "run"]

PARTITIONS = 6
WORKERS = 3
SESSION_TIMEOUT_S = 6.0
_API_EVERY = 10
# Every so-manieth customer has a second endpoint, and every second one of these has a mode of its
# own.
_TWO_ENDPOINTS_EVERY = 4
_DRAIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much, and for how long.

    Attributes:
        seed: What goes wrong follows from it.
        seconds: In which events are published and things go wrong.
        every_s: Seconds between two faults, about.
        customers: Each with one endpoint or two.
        events: Of all customers together.
        ordering: `HOOKSEAL_ORDERING`.
        only: Kinds of faults; all if empty.
        env: Other settings of workers and API.
    """

    seed: int = 1
    seconds: float = 900.0
    every_s: float = 11.0
    customers: int = 200
    events: int = 50_000
    ordering: str = "customer"
    only: tuple[FaultKind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def run(scale: Scale, folder: Path) -> Report:
    """Run it; leave `report.json`, `report.svg` and the logs in the folder."""
    with start_broker("apache", nodes=3) as broker:
        report, times, done = asyncio.run(_run(scale, broker, folder))
    (folder / "report.json").write_bytes(orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2))
    (folder / "report.svg").write_text(picture(report, times, done))
    return report


async def _run(
    scale: Scale, broker: ApacheBroker, folder: Path
) -> tuple[Report, list[float], list[Done]]:
    cluster = Cluster(broker.bootstrap, topic_prefix="chaos.")
    names = TopicNames(cluster.topic_prefix)
    await topics.create(cluster, partitions=PARTITIONS, replication=3)
    customers = [f"c{number}" for number in range(scale.customers)]
    endpoints = _endpoints(customers)
    names_of = [endpoint.receiver for endpoint in endpoints]
    report = Report(scale.seed, scale.ordering, scale.seconds, len(customers))
    done: list[Done] = []
    key = f"wha_{secrets.token_urlsafe(24)}"
    async with (
        Receivers(moods(scale.seed, names_of, scale.seconds)) as receivers,
        Producer(cluster) as producer,
    ):
        crew = Crew(broker, _environment(scale, broker, key), folder, WORKERS)
        load = Load(producer, cluster, api_url=f"http://127.0.0.1:{crew.api_port}", key=key)

        async def apply(fault: Fault) -> None:
            endpoint = endpoints[fault.pick % len(endpoints)]
            if fault.kind == "pause_endpoint":
                await load.pause(endpoint, fault.for_s)
            elif fault.kind == "open_transaction":
                await load.open_transaction(endpoint.customer, fault.for_s)
            else:
                await crew.suffer(fault)

        crew.start()
        keeping = asyncio.create_task(crew.keep_up())
        try:
            await load.register(endpoints, receivers.url)
            await load.ready(endpoints)
            receivers.begin()
            suffering = asyncio.create_task(_suffer(scale, apply, receivers, done))
            await load.publish(
                customers,
                each=scale.events // len(customers),
                seconds=scale.seconds,
                api_every=_API_EVERY,
            )
            await suffering
            ended_s = receivers.now_s
            log = await _log(cluster, names)
            expected = {one.receiver: log[one.customer] for one in endpoints}
            total = sum(len(ids) for ids in expected.values())

            await receivers.until(lambda: receivers.distinct() >= total, _drain_s(receivers, total))
            buried = await _dead_letters(cluster)
            if receivers.distinct() + len(buried) < total:
                await receivers.until(lambda: receivers.distinct() >= total, _DRAIN_S)
                buried = await _dead_letters(cluster)
            report.drained_s = receivers.now_s - ended_s
            report.set_aside = len(await _dead_letters(cluster, set_aside=True))
        finally:
            keeping.cancel()
            await crew.stop()
        report.kills, report.died_by_themselves = crew.killed, crew.deaths
        report.refused = receivers.refused
        judge(
            report,
            log=expected,
            dead=buried,
            accepted=receivers.accepted,
            ordering_keys=ORDERING_KEYS if scale.ordering == "key" else 1,
        )
        pauses(report, _by_partition(receivers, ended_s), done)
        everything = [one.at_s for books in receivers.accepted.values() for one in books]
        return report, everything, done


def _drain_s(receivers: Receivers, total: int) -> float:
    # At worst what is left is delivered at twenty a second.
    return 30.0 + (total - receivers.distinct()) / 20


def _endpoints(customers: list[str]) -> list[Endpoint]:
    found = [Endpoint(customer, "ep_1") for customer in customers]
    second = customers[::_TWO_ENDPOINTS_EVERY]
    found += [Endpoint(customer, "ep_2", "endpoint") for customer in second[::2]]
    return found + [Endpoint(customer, "ep_2") for customer in second[1::2]]


async def _suffer(
    scale: Scale,
    apply: Callable[[Fault], Awaitable[None]],
    receivers: Receivers,
    done: list[Done],
) -> None:
    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, fault.at_s - receivers.now_s))
        start_s = receivers.now_s
        _say(f"{start_s:6.1f} s  {fault.kind}  ({receivers.count} accepted)")
        await apply(fault)
        done.append(Done(fault.kind, start_s, receivers.now_s))

    plan = faults(
        scale.seed,
        scale.seconds,
        every_s=scale.every_s,
        session_timeout_s=SESSION_TIMEOUT_S,
        only=scale.only,
    )
    await asyncio.gather(*(one(fault) for fault in plan))


async def _log(cluster: Cluster, names: TopicNames) -> dict[str, list[str]]:
    """Return each customer's event ids in the order of the log, each once."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    async for record in read_all(cluster, names.events):
        if record.key is not None:
            event_id = orjson.loads(record.value or b"{}").get("id") or _header_id(record.headers)
            found[record.key.decode()][event_id] = None
    return {customer: list(ids) for customer, ids in found.items()}


def _by_partition(receivers: Receivers, ended_s: float) -> dict[int, list[float]]:
    """Return when each partition's events were accepted until then, in order."""
    found: dict[int, list[float]] = defaultdict(list)
    for receiver, books in receivers.accepted.items():
        times = found[partition_of(receiver.partition("/")[0], PARTITIONS)]
        times += [one.at_s for one in books if one.at_s <= ended_s]
    return {place: sorted(times) for place, times in found.items()}


async def _dead_letters(cluster: Cluster, *, set_aside: bool = False) -> set[tuple[str, str]]:
    """Return what was given up, or only set aside: receiver and event id."""
    found = set()
    async for record in read_all(cluster, TopicNames(cluster.topic_prefix).dead_letters):
        letter = added_headers(record.headers)
        if (letter["reason"] == SUSPENDED) is set_aside:
            customer = (record.key or b"").decode()
            found.add((f"{customer}/{letter.get('endpoint-id')}", letter["event-id"]))
    return found


def _header_id(headers: Headers) -> str:
    return (last_header(headers, "ce_id") or b"").decode()


def _environment(scale: Scale, broker: ApacheBroker, key: str) -> dict[str, str]:
    return {
        **broker.settings,
        "HOOKSEAL_TOPIC_PREFIX": "chaos.",
        "HOOKSEAL_PARTITIONS": str(PARTITIONS),
        "HOOKSEAL_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "HOOKSEAL_ADMIN_KEY": key,
        "HOOKSEAL_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
        "HOOKSEAL_HEARTBEAT_INTERVAL_S": "1",
        "HOOKSEAL_ORDERING": scale.ordering,
        "HOOKSEAL_ATTEMPT_TIMEOUT_S": "2",
        "HOOKSEAL_RETRY_BASE_S": "0.2",
        "HOOKSEAL_RETRY_CAP_S": "2",
        "HOOKSEAL_RETRY_MAX_ATTEMPTS": "2",
        "HOOKSEAL_SUSPEND_AFTER": "1",
        "HOOKSEAL_PROBE_BASE_S": "0.5",
        "HOOKSEAL_PROBE_CAP_S": "4",
        "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8",
        "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
        "HOOKSEAL_EGRESS_ALLOW_PORTS": "1024-65535",
        **scale.env,
    }


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a tool of the command line


def main() -> int:
    """Run as the arguments say; return 1 if a promise was broken."""
    defaults = Scale()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--seconds", type=float, default=defaults.seconds)
    parser.add_argument("--every", type=float, default=defaults.every_s)
    parser.add_argument("--customers", type=int, default=defaults.customers)
    parser.add_argument("--events", type=int, default=defaults.events)
    modes = ("partition", "customer", "endpoint", "key")
    parser.add_argument("--ordering", choices=modes, default=defaults.ordering)
    parser.add_argument(
        "--only", choices=list(KINDS), nargs="*", default=[], help="kinds of faults"
    )
    parser.add_argument("--env", nargs="*", default=[], help="settings, NAME=VALUE")
    parser.add_argument(
        "--no-fast-path",
        dest="fast_path",
        action="store_false",
        help="with HOOKSEAL_FAST_PATH=false",
    )
    parser.add_argument("--out", type=Path, help="a folder for the report and the logs")
    asked = parser.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp(prefix="hookseal-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    scale = Scale(
        seed=asked.seed,
        seconds=asked.seconds,
        every_s=asked.every,
        customers=asked.customers,
        events=asked.events,
        ordering=asked.ordering,
        only=tuple(asked.only),
        env={
            "HOOKSEAL_FAST_PATH": str(asked.fast_path).lower(),
            **dict(setting.split("=", 1) for setting in asked.env),
        },
    )
    report = run(scale, folder)
    for line in report.lines():
        _say(line)
    _say(f"{folder}/report.json, {folder}/report.svg")
    return 0 if report.promises_kept else 1


if __name__ == "__main__":
    sys.exit(main())
