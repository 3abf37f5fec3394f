"""Records that no ordinary client writes, and that Apache Kafka takes: nothing stops for them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS, customers
from tests.raw_batches import CODECS, RawRecord, batch, produce, record_bytes

if TYPE_CHECKING:
    from tests.brokers import ApacheBroker
    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider
    from tests.e2e.receiver import Receiver
    from tests.e2e.worker import Worker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(240)]

HOME = partition_of("acme", PARTITIONS)
# Seconds of the random part; the long run is asked for by name.
FUZZ_S = float(os.environ.get("HOOKSEAL_FUZZ_SECONDS", "20"))


def event(event_id: str, **data: Any) -> bytes:
    return json.dumps({"type": "order.paid", "id": event_id, "data": data}).encode()


class Topic:
    """`events` of one deployment, written to byte by byte."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def configure(self, **config: str) -> None:
        admin = AIOKafkaAdminClient(**self.provider.settings.cluster.arguments())
        await admin.start()
        try:
            names = {name.replace("_", "."): value for name, value in config.items()}
            await admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, self.provider.names.events, names)]
            )
        finally:
            await admin.close()

    async def write(self, raw: bytes, partition: int = HOME) -> int:
        return await produce(
            self.provider.settings.kafka_bootstrap, self.provider.names.events, partition, raw
        )


@pytest.fixture
async def topic(provider: Provider) -> Topic:
    return Topic(provider)


async def test_every_codec_is_delivered_and_the_doctor_knows_them(
    provider: Provider, topic: Topic
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    await provider.worker()
    api = await provider.api()

    for codec in CODECS:
        assert await topic.write(batch([RawRecord(value=event(codec))], codec=codec)) == 0
    await topic.configure(compression_type="zstd")
    await provider.publish("acme", 1)
    await receiver.until(lambda: "acme-1" in receiver.accepted())

    assert receiver.accepted() == [*CODECS, "acme-1"]
    assert (await api.ask("GET", "/readyz"))[0] == 200


async def test_odd_header_tables_and_timestamps_are_delivered_or_dead_lettered(
    provider: Provider, topic: Topic
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    await topic.configure(message_timestamp_after_max_ms=str(2**63 - 1))
    await provider.worker()
    api = await provider.api()
    no_time = b'{"type":"order.paid","data":{}}'
    odd = {
        "name": RawRecord(value=event("name"), headers=((b"\xff\xfe", b"1"),)),
        "null": RawRecord(
            value=event("null"), headers=((b"trace", None), (b"hookseal-note", None))
        ),
        "many": RawRecord(
            value=event("many"), headers=tuple((b"h%d" % n, b"v") for n in range(60_000))
        ),
        "ce": RawRecord(
            value=b"{}",
            headers=(
                (b"ce_specversion", b"1.0"),
                (b"ce_id", b"ce"),
                (b"ce_type", b"order.paid"),
                (b"ce_subject", None),
            ),
        ),
        "bad": RawRecord(value=b"{", headers=((b"\xff\xfe", b"1"), (b"hookseal-note", None))),
    }

    for record in odd.values():
        assert await topic.write(batch([record])) == 0
    micros = batch([RawRecord(value=no_time)], first_timestamp=1_796_057_075_000_000)
    assert await topic.write(micros) == 0
    await provider.publish("acme", 1)
    await receiver.until(lambda: "acme-1" in receiver.accepted())
    await provider.dead_letters_reach(3)

    letters = await provider.dead_letters()
    assert [added_headers(letter.headers)["reason"] for letter in letters] == [
        "headers_too_large",
        "json_invalid",
        "timestamp_invalid",
    ]
    names = [name.encode("utf-8", "surrogateescape") for name, _ in letters[1].headers]
    assert names[:2] == [b"\xff\xfe", b"hookseal-note"]
    assert receiver.accepted() == ["name", "null", "ce", "acme-1"]
    listed = await api.do("GET", "/v1/tenants/acme/dead-letters")
    assert len(listed["items"]) == 3


def memory_mib(worker: Worker) -> int:
    """Return the greatest amount of memory that the process ever had."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.mark.parametrize("ordering", ["partition", "customer"])
async def test_records_that_grow_a_thousandfold_become_dead_letters(
    provider: Provider, topic: Topic, ordering: str
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    worker = await provider.worker(HOOKSEAL_ORDERING=ordering)
    size = 500_000_000
    bomb = RawRecord(value=b'{"type":"a.b","data":{}}' + b" " * size)
    many = [RawRecord(value=b'{"type":"a.b","data":{}}' + b" " * 1_000_000)] * 400

    assert await topic.write(batch([bomb, RawRecord(value=event("with"))], codec="gzip")) == 0
    assert await topic.write(batch(many, codec="gzip")) == 0
    await provider.publish("acme", 1)
    await receiver.until(lambda: "acme-1" in receiver.accepted(), timeout_s=120)

    assert receiver.accepted() == ["with", "acme-1"]
    assert memory_mib(worker) < 300
    await provider.dead_letters_reach(401)
    letter = (await provider.dead_letters())[0]
    headers = added_headers(letter.headers)
    assert headers["reason"] == "payload_too_large"
    assert headers["value-bytes"] == str(len(bomb.value or b""))
    assert headers["value-sha256"] == hashlib.sha256(bomb.value or b"").hexdigest()
    assert headers["truncated"] == "value"
    assert (bomb.value or b"").startswith(letter.value or b"-")


async def test_a_batch_that_the_disk_damaged_is_passed_over_with_an_alarm(
    own_broker: ApacheBroker, provider: Provider, topic: Topic
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    await topic.write(batch([RawRecord(value=event("before"))]))
    await topic.write(batch([RawRecord(value=event("damaged-1")), RawRecord()]))
    await topic.write(batch([RawRecord(value=event("after"))]))
    damage(own_broker, f"{provider.names.events}-{HOME}", b"damaged-1")

    worker = await provider.worker()
    await receiver.until(lambda: "after" in receiver.accepted())

    assert receiver.accepted() == ["before", "after"]
    (letter,) = await provider.dead_letters()
    headers = added_headers(letter.headers)
    assert (headers["reason"], headers["offset"]) == ("record_unreadable", "2")
    assert "from offset 1 to 2" in headers["error"]
    assert any("offsets 1 to 2" in line for line in worker.lines)


def damage(broker: ApacheBroker, folder: str, old: bytes) -> None:
    """Change a byte of the log's file, as a failing disk does."""
    (command,) = [Path(f"/proc/{node.pid}/cmdline").read_bytes() for node in broker.nodes]
    properties = Path(command.rstrip(b"\0").split(b"\0")[-1].decode()).read_text()
    data = Path(next(line for line in properties.splitlines() if "log.dirs=" in line)[9:])
    segment = data / folder / f"{0:020}.log"
    with segment.open("r+b") as file:
        at = file.read().index(old)
        file.seek(at)
        file.write(b"D")


@pytest.fixture
def settings_env(settings_env: dict[str, str], request: pytest.FixtureRequest) -> dict[str, str]:
    if "own_broker" not in request.fixturenames:
        return settings_env
    broker: ApacheBroker = request.getfixturevalue("own_broker")
    return {**settings_env, "HOOKSEAL_KAFKA_BOOTSTRAP": broker.bootstrap}


class Fuzz:
    """Draws batches that a broker may take."""

    def __init__(self, seed: int, customer: str) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._customer = customer
        self._number = 0

    def batch(self) -> bytes:
        draw = self._random
        records = [self._record() for _ in range(draw.choice((1, 1, 2, 5)))]
        return batch(
            records,
            codec=draw.choice(list(CODECS)),
            first_timestamp=draw.choice(
                (1_700_000_000_000, -1, 0, 1_796_057_075_000_000, 2**63 - 1 - 10_000)
            ),
            payload=draw.choice((None, None, None, None, self._broken())),
            attributes=draw.choice((0, 0, 0, 0x40, 0x100)),
        )

    def _broken(self) -> bytes:
        good = bytearray(record_bytes(RawRecord(), 0))
        good[self._random.randrange(len(good))] ^= 1 << self._random.randrange(8)
        return bytes(good)

    def _record(self) -> RawRecord:
        draw = self._random
        self._number += 1
        value = event(f"odd-{self._customer}-{self._number}")
        return RawRecord(
            key=draw.choice((self._customer.encode(), None, b"", b"\xff", b"k" * 5000)),
            value=draw.choice(
                (
                    value,
                    value,
                    None,
                    b"",
                    draw.randbytes(50),
                    b"[" * 70_000,
                    value + b" " * draw.choice((1_000_000, 6_000_000)),
                )
            ),
            headers=tuple(
                (
                    draw.choice((b"trace", b"\xff\xfe", b"", b"ce_specversion", b"ce_id"))
                    if draw.random() < 0.7
                    else draw.choice(
                        (b"hookseal-event-id", b"hookseal-seal-to", b"hookseal-rerouted")
                    ),
                    draw.choice((None, b"", b"1.0", b"\xff", draw.randbytes(9), b"x" * 5000)),
                )
                for _ in range(draw.choice((0, 0, 1, 3, 40)))
            ),
            timestamp_delta=draw.choice((0, 0, 5, -5)),
        )


@pytest.mark.timeout(FUZZ_S + 240)
async def test_whatever_a_broker_takes_stops_nothing_and_is_accounted_for(
    provider: Provider, topic: Topic
) -> None:
    receiver = await provider.receiver()
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    tenants = customers(PARTITIONS)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    await topic.configure(
        message_timestamp_after_max_ms=str(2**63 - 1), max_message_bytes="4000000"
    )
    workers = [await provider.worker(name) for name in ("a", "b")]
    for worker in workers:
        await worker.ready(partitions=PARTITIONS // 2)
    api = await provider.api()
    fuzz = {tenant: Fuzz(seed + n, tenant) for n, tenant in enumerate(tenants)}
    until = time.monotonic() + FUZZ_S
    taken = ordinary = 0

    while time.monotonic() < until:
        for tenant in tenants:
            partition = partition_of(tenant, PARTITIONS)
            taken += await topic.write(fuzz[tenant].batch(), partition) == 0
            await provider.publish(tenant, ordinary, partition=partition)
        await receiver.until(
            partial(all_accepted, receiver, {f"{tenant}-{ordinary}" for tenant in tenants}),
            timeout_s=90,
        )
        ordinary += 1
        assert (await api.ask("GET", "/readyz"))[0] == 200

    assert taken > ordinary
    for tenant in tenants:
        good = [one for one in receiver.accepted(tenant) if not one.startswith(("odd-", "evt_"))]
        own = [one for one in dict.fromkeys(good) if one.startswith(f"{tenant}-")]
        assert own == [f"{tenant}-{number}" for number in range(ordinary)]
    assert [worker.returncode for worker in workers] == [None, None]
    letters = await provider.dead_letters()
    assert all("reason" in added_headers(letter.headers) for letter in letters)
    # The API's index knows each dead letter that stands on the topic.
    for tenant in tenants:
        on_topic = sum(letter.key == tenant.encode() for letter in letters)
        async with asyncio.timeout(60):
            while await listed(api, tenant) < on_topic:
                pass


def all_accepted(receiver: Receiver, event_ids: set[str]) -> bool:
    return event_ids <= set(receiver.accepted())


async def listed(api: Api, customer_id: str) -> int:
    """Return how many dead letters the API lists."""
    path = f"/v1/tenants/{customer_id}/dead-letters?limit=100"
    count, cursor = 0, ""
    while True:
        page = await api.do("GET", path + (f"&cursor={cursor}" if cursor else ""))
        count += len(page["items"])
        cursor = page.get("next_cursor")
        if not cursor:
            return count
