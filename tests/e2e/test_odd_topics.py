"""Records that nobody of ours wrote, on the topics that hookseal alone writes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS
from tests.raw_batches import CODECS, RawRecord, batch, produce

if TYPE_CHECKING:
    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(240)]

HOME = partition_of("acme", PARTITIONS)
NAMES = ("commands", "tenants_changelog", "dead_letters", "deliveries", "replays")
COMPACTED = {"tenants_changelog"}
HUGE = 3_000_000


async def configure(provider: Provider, topic: str, **config: str) -> None:
    admin = AIOKafkaAdminClient(**provider.settings.cluster.arguments())
    await admin.start()
    try:
        configs = {name.replace("_", "."): value for name, value in config.items()}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    finally:
        await admin.close()


def odd_records() -> list[RawRecord]:
    names = (b"\xff\xfe", b"", b"hookseal-event-id", b"hookseal-reason", b"hookseal-endpoint-id")
    tables = [
        (),
        tuple((name, None) for name in names),
        tuple((name, b"\xff\xfe\x00") for name in names),
        tuple((name, b"\xed\xa0\xbd") for name in names),
        ((b"hookseal-failed-at", b"9999-12-31T23:59:59-23:59"), (b"hookseal-status", b"\xb2")),
        ((b"hookseal-failed-at", b"0001-01-01T00:00:00+23:59"), (b"hookseal-attempts", b"-1")),
        ((b"hookseal-reason", b"endpoint_suspended"), (b"hookseal-endpoint-id", b"ep_1")),
        (
            (b"hookseal-reason", b"endpoint_suspended"),
            (b"hookseal-endpoint-id", b"ep_1"),
            (b"hookseal-event-id", None),
            (b"hookseal-value-bytes", b"9" * 5000),
            (b"hookseal-truncated", b"value"),
        ),
        tuple((b"h%d" % n, b"v") for n in range(60_000)),
    ]
    values = [
        None,
        b"",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"type":"order.paid","id":"\\ud83d","data":{}}',
        b'{"v":2,"drained":[[-9223372036854775808,9223372036854775807]]}',
        b'{"holder":"x","at_ms":9223372036854775807,"events_to":9223372036854775807}',
        b'{"holder":"\\ud83d","at_ms":0,"events_to":0,"job":"\\u0000","replayed":[[1,1]]}',
        b'{"v":1e400}',
        b"\x00" * 1000,
    ]
    keys = [b"acme", b"\xff\xfe", b"", b"k" * 5000, None]
    return [
        RawRecord(key=keys[n % len(keys)] if n % 3 else b"acme", value=value, headers=table)
        for n, (value, table) in enumerate((value, table) for table in tables for value in values)
    ]


def odd_batches(*, keyed: bool) -> list[bytes]:
    records = odd_records()
    if keyed:
        # A writer of this topic can delete tenants: by a record without a value at once, by any
        # other record of the tenant's key once Kafka has compacted the topic.
        records = [one._replace(key=b"odd") for one in records if one.value is not None]
    record = RawRecord(key=b"odd")
    few = [one for one in records if len(one.headers) < 1000]
    huge = record._replace(value=b'{"x":"' + b"x" * HUGE + b'"}')
    bomb = record._replace(value=b" " * 50_000_000)
    return [
        *(batch(few, codec=codec) for codec in CODECS),
        *(batch([one]) for one in records[:: len(records) // 9]),
        *(batch([one]) for one in records if one not in few),
        batch([huge]),
        batch([huge, record], codec="zstd"),
        batch([bomb, record._replace(value=b"{}")], codec="gzip"),
        batch([record, record], payload=b"\xff" * 50, codec="gzip"),
        batch([record, record], payload=b"\x01\x02"),
        batch([record], first_timestamp=2**63 - 1),
        batch([record], first_timestamp=-1),
        batch([record], first_timestamp=1_796_057_075_000_000),
    ]


async def write_odd(provider: Provider, name: str) -> int:
    """Write all of it to the home partition; return how many batches the broker took."""
    topic = getattr(provider.names, name)
    await configure(
        provider,
        topic,
        max_message_bytes="8000000",
        message_timestamp_after_max_ms=str(2**63 - 1),
        **({"cleanup_policy": "compact"} if name in COMPACTED else {}),
    )
    taken = 0
    for raw in odd_batches(keyed=name in COMPACTED):
        taken += await produce(provider.settings.kafka_bootstrap, topic, HOME, raw) == 0
    await abort(provider, topic)
    return taken


async def abort(provider: Provider, topic: str) -> None:
    """Leave a transaction's aborted records, and its marker as the last record of all."""
    producer = AIOKafkaProducer(
        bootstrap_servers=provider.settings.kafka_bootstrap, transactional_id=f"odd-{topic}"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"{}", key=b"acme", partition=HOME)
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def list_all(api: Api, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await api.do("GET", f"{path}?limit=100{cursor}")
        found += page["items"]
        if not page.get("next_cursor"):
            return found
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("name", NAMES)
async def test_odd_records_on_a_topic_of_ours_stop_nothing(provider: Provider, name: str) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    worker = await provider.worker()
    api = await provider.api()
    await provider.publish("acme", 1)
    await receiver.until(lambda: "acme-1" in receiver.accepted())

    assert await write_odd(provider, name) > len(CODECS)
    await provider.publish("acme", 2)
    await receiver.until(lambda: "acme-2" in receiver.accepted())
    await asks_are_answered(api)
    worker.terminate()
    await worker.ended()
    again, other = await provider.worker("again"), await provider.api("other")
    await provider.publish("acme", 3)
    await receiver.until(lambda: "acme-3" in receiver.accepted())
    await asks_are_answered(other)

    assert again.returncode is None


async def test_a_changelog_that_ends_with_an_aborted_transaction_is_recovered(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    first = await provider.worker()
    await provider.publish("acme", 1)
    await receiver.until(lambda: "acme-1" in receiver.accepted())
    first.terminate()
    await first.ended()

    await abort(provider, provider.names.tenants_changelog)
    await provider.worker("again")
    await provider.publish("acme", 2)

    await receiver.until(lambda: "acme-2" in receiver.accepted())


async def asks_are_answered(api: Api) -> None:
    """Ask everything that is read from these topics."""
    assert (await api.ask("GET", "/readyz"))[0] == 200
    for path in ("/v1/tenants/acme/dead-letters", "/v1/tenants/acme/deliveries", "/v1/tenants"):
        await list_all(api, path)
    await api.do("POST", "/v1/tenants/acme/dead-letters/replay", {"dry_run": True})
