"""The main job, on a real broker, with real worker processes."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from hookseal.domain.dead_letter import added_headers
from hookseal.domain.event import BROADCAST_HEADER
from hookseal.kafka.partitioner import partition_of
from hookseal.tenants.model import TenantsModel
from tests.e2e.conftest import PARTITIONS, closed_port, customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


async def test_every_tenant_gets_every_event_sealed_and_in_order(provider: Provider) -> None:
    receiver = await provider.receiver()
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    await provider.worker("a")
    await provider.worker("b")

    for number in range(20):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))
    await receiver.until(lambda: len(set(receiver.accepted())) == 20 * len(tenants))

    for tenant in tenants:
        first_arrivals = list(dict.fromkeys(receiver.accepted(tenant)))
        assert first_arrivals == [f"{tenant}-{number}" for number in range(20)]
    assert await provider.dead_letters() == []


async def test_a_failing_endpoint_is_retried_in_place_before_the_next_event(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    failures = {"acme-1": 2, "acme-3": 1}

    async def answer(_: str, event_id: str) -> int:
        failures[event_id] = failures.get(event_id, 0) - 1
        return 503 if failures[event_id] >= 0 else 200

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    await provider.worker(HOOKSEAL_RETRY_BASE_S="0.1")

    for number in range(5):
        await provider.publish("acme", number)
    await receiver.until(lambda: len(receiver.accepted()) == 5)

    assert [arrival.event_id for arrival in receiver.arrivals] == [
        "acme-0",
        *["acme-1"] * 3,
        "acme-2",
        *["acme-3"] * 2,
        "acme-4",
    ]


@pytest.mark.parametrize("max_in_progress", ["1024", "16"])
async def test_a_dead_receiver_holds_its_partition_only(
    provider: Provider, max_in_progress: str
) -> None:
    receiver = await provider.receiver()
    dead, *_ = customers(1, partition=0)
    alive = [customers(1, partition=number)[0] for number in range(1, PARTITIONS)]
    neighbour = customers(2, partition=0)[1]
    await provider.tenant(dead, f"http://127.0.0.1:{closed_port()}/refused")
    for tenant in [*alive, neighbour]:
        await provider.tenant(tenant, receiver.url(tenant))
    await provider.worker(HOOKSEAL_RETRY_DELAYS_S="3600", HOOKSEAL_MAX_IN_PROGRESS=max_in_progress)

    await provider.publish(dead, 0)
    for start in range(0, 6000, 500):
        await asyncio.gather(
            *(provider.publish(neighbour, number) for number in range(start, start + 500))
        )
    for number in range(100):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in alive))
    await receiver.until(lambda: all(len(receiver.accepted(tenant)) == 100 for tenant in alive))

    assert receiver.accepted(neighbour) == []
    for tenant in alive:
        assert receiver.accepted(tenant) == [f"{tenant}-{number}" for number in range(100)]


async def test_what_is_exhausted_becomes_a_dead_letter_and_the_rest_goes_on(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, event_id: str) -> int:
        return 500 if event_id == "acme-1" else 200

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    await provider.worker(HOOKSEAL_RETRY_DELAYS_S="0.05,0.05", HOOKSEAL_SUSPEND_AFTER="0")

    await provider.publish("acme", 0)
    position = await provider.publish("acme", 1, ("trace", b"x"), ("trace", b"\xff"))
    await provider.publish("acme", 2)
    await receiver.until(lambda: "acme-2" in receiver.accepted())

    (letter,) = await provider.dead_letters()
    headers = added_headers(letter.headers)
    assert (letter.key, letter.partition) == (b"acme", position.partition)
    assert letter.headers[:2] == (("trace", b"x"), ("trace", b"\xff"))
    assert letter.value == orjson.dumps(
        {"type": "order.paid", "id": "acme-1", "data": {"number": 1}}
    )
    published_at, first_at, failed_at = (
        headers.pop(name) for name in ("event-timestamp", "first-attempt-at", "failed-at")
    )
    assert published_at <= first_at < failed_at
    assert headers == {
        "reason": "attempts_exhausted",
        "error": "3 attempts failed, the last one with http_500.",
        "endpoint-id": "ep_1",
        "attempts": "3",
        "status": "500",
        "event-id": "acme-1",
        "topic": provider.names.events,
        "partition": str(position.partition),
        "offset": str(position.offset),
    }


async def test_poison_records_between_good_ones_stop_nothing(provider: Provider) -> None:
    receiver = await provider.receiver()
    partition = partition_of("acme", PARTITIONS)
    disabled = customers(1, partition=partition, prefix="disabled")[0]
    unknown = customers(1, partition=partition, prefix="unknown")[0]
    good = b'{"type":"a","data":{},"id":"%s"}'
    await provider.tenant("acme", receiver.url("acme"))
    await provider.disabled_tenant(disabled)
    await provider.worker()
    poison = {
        "key_missing": (None, good % b"p1"),
        "customer_id_invalid": (b"\xff\xfe", good % b"p2"),
        "value_missing": (b"acme", None),
        "body_empty": (b"acme", b""),
        "json_invalid": (b"acme", b"{nonsense"),
        "json_invalid_utf8": (b"acme", b'{"type":"\xff"}'),
        "json_too_deep": (b"acme", b"[" * 1000 + b"]" * 1000),
        "type_missing": (b"acme", b'{"data":{}}'),
        "data_missing": (b"acme", b'{"type":"a"}'),
        "id_invalid": (b"acme", b'{"type":"a","data":{},"id":"a.b"}'),
        "payload_too_large": (b"acme", b"x" * 900_000),
        "unknown_tenant": (unknown.encode(), good % b"p3"),
        "tenant_disabled": (disabled.encode(), good % b"p4"),
    }

    for number, (key, value) in enumerate(poison.values()):
        await provider.publish("acme", number)
        await provider.raw(key, value, partition=partition)
    await provider.raw(None, None, partition=partition)
    await provider.publish("acme", len(poison))
    await receiver.until(lambda: len(receiver.accepted()) == len(poison) + 1)

    letters = await provider.dead_letters()
    reasons = [added_headers(letter.headers)["reason"] for letter in letters]
    assert reasons == [*poison, "key_missing"]
    for letter, (key, value) in zip(letters, poison.values(), strict=False):
        assert (letter.key, letter.value) == (key, value)


async def test_events_that_overtake_their_tenant_s_commands_wait_for_them(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    tenants = customers(12)
    for tenant in tenants:
        await provider.publish(tenant, 0)
        await provider.tenant(tenant, receiver.url(tenant))

    await provider.worker()
    await receiver.until(lambda: len(set(receiver.accepted())) == len(tenants))

    assert await provider.dead_letters() == []


async def test_an_event_on_the_wrong_partition_finds_its_tenant(provider: Provider) -> None:
    receiver = await provider.receiver()
    wrong = (partition_of("acme", PARTITIONS) + 1) % PARTITIONS
    await provider.tenant("acme", receiver.url("acme"))
    await provider.worker()

    await provider.publish("acme", 0, partition=wrong)
    placed = await provider.raw(b"acme", b'{"type":"a","data":{}}', partition=wrong)
    await receiver.until(lambda: len(receiver.accepted()) == 2)

    assert receiver.accepted()[0] == "acme-0"
    assert receiver.accepted()[1].startswith("evt_")
    assert placed.partition == wrong
    assert await provider.dead_letters() == []


async def test_a_broadcast_reaches_every_tenant_that_subscribes(provider: Provider) -> None:
    receiver = await provider.receiver()
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant), event_types="news.*")
    await provider.tenant("other", receiver.url("other"), event_types="order.*")
    await provider.worker("a")
    await provider.worker("b")

    value = b'{"type":"news.published","id":"n1","data":{"a" : 1}}'
    for partition in range(PARTITIONS):
        await provider.raw(None, value, (BROADCAST_HEADER, b"1"), partition=partition)
    await receiver.until(lambda: len(receiver.accepted()) >= len(tenants))

    assert {arrival.event["customer_id"] for arrival in receiver.arrivals} == set(tenants)


async def test_an_endpoint_that_is_gone_is_disabled_and_its_events_set_aside(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()

    async def answer(customer: str, _: str) -> int:
        return 410 if customer == "gone" else 200

    receiver.answer = answer
    await provider.tenant("gone", receiver.url("gone"))
    await provider.worker()

    async with TenantsModel(provider.settings.cluster, provider.settings.tenant_codec()) as tenants:
        await provider.publish("gone", 0)
        await tenants.changed(
            "gone",
            lambda tenant: (
                tenant is not None
                and any(endpoint.disabled_reason == "gone" for endpoint in tenant.endpoints)
            ),
            timeout_s=60,
        )
    await provider.publish("gone", 1)
    await provider.dead_letters_reach(2)

    assert await provider.reasons() == {"gone-0": "endpoint_gone", "gone-1": "endpoint_disabled"}
    assert len(receiver.arrivals) == 1


async def test_a_record_that_is_larger_than_any_dead_letter_holds_nobody_up(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    value = b'{"id":"big","type":"order.paid","data":{"pad":"' + b"x" * 3_000_000 + b'"}}'
    # Compressed it has a few kB, which every topic takes.
    client = AIOKafkaProducer(
        **provider.settings.cluster.arguments(), compression_type="gzip", max_request_size=1 << 22
    )
    await client.start()
    partition = partition_of("acme", PARTITIONS)
    await client.send_and_wait(provider.names.events, key=b"acme", value=value, partition=partition)
    await client.stop()
    await provider.publish("acme", 1)

    await provider.worker("a")
    await receiver.until(lambda: "acme-1" in receiver.accepted())

    (letter,) = await provider.dead_letters()
    added = added_headers(letter.headers)
    assert (added["reason"], added["truncated"]) == ("payload_too_large", "value")
    assert (added["value-bytes"], added["value-sha256"]) == (
        "3000050",
        hashlib.sha256(value).hexdigest(),
    )
    assert value.startswith(letter.value or b"-")
