"""Progress of the consumer group, from a real broker."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from hookseal.delivery.ordering import offset_metadata
from hookseal.domain.event import BROADCAST_HEADER
from hookseal.errors import BrokerError
from hookseal.kafka import topics
from hookseal.kafka.consumer_group import ConsumerGroup
from hookseal.kafka.producer import Producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.config import Settings
    from hookseal.domain.progress import PartitionProgress, Progress

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]

PARTITIONS = 2


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    async with Producer(settings.cluster) as running:
        yield running


async def write(settings: Settings, producer: Producer, number: int, **more: Any) -> None:
    record: dict[str, Any] = {
        "key": b"acme",
        "value": b'{"type":"a.b","data":1,"id":"evt_%d"}' % number,
        "headers": (),
        "partition": 0,
    }
    await producer.publish(settings.names.events, **(record | more))


async def progress(settings: Settings) -> Progress:
    return await ConsumerGroup(settings.cluster).progress()


async def first(settings: Settings) -> PartitionProgress:
    return (await progress(settings)).partitions[0]


@asynccontextmanager
async def member(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a member of the workers' group that has all partitions."""
    consumer = AIOKafkaConsumer(
        settings.names.events,
        **settings.cluster.arguments(),
        group_id=settings.cluster.app_id,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while len(consumer.assignment()) < PARTITIONS:
            await consumer.getmany(timeout_ms=100)
        yield consumer
    finally:
        await consumer.stop()


async def test_a_group_that_never_had_a_member_has_none(
    settings: Settings, producer: Producer
) -> None:
    for number in range(3):
        await write(settings, producer, number)

    found = await progress(settings)

    assert (found.group, found.workers) == (settings.cluster.app_id, [])
    assert found.state in ("Dead", "Empty")
    one, other = found.partitions
    assert (one.committed, one.start, one.end, one.lag) == (None, 0, 3, 3)
    assert one.oldest is not None
    assert (one.oldest.event_id, one.oldest.customer_id, one.oldest.offset) == ("evt_0", "acme", 0)
    assert (other.lag, other.oldest) == (0, None)


async def test_members_have_partitions_until_they_leave(
    settings: Settings, producer: Producer
) -> None:
    async with member(settings):
        found = await progress(settings)
        (worker,) = found.workers
        assert found.state == "Stable"
        assert worker.partitions == (0, 1)
        assert worker.host == "127.0.0.1"

    assert (await progress(settings)).workers == []


async def test_offsets_that_are_done_above_the_committed_one_do_not_count(
    settings: Settings, producer: Producer
) -> None:
    for number in range(6):
        await write(settings, producer, number)
    async with member(settings) as consumer:
        metadata = offset_metadata.encode(2, [(3, 5)])
        tp = TopicPartition(settings.names.events, 0)
        await consumer.commit({tp: OffsetAndMetadata(2, metadata)})

    found = await first(settings)

    assert (found.committed, found.end, found.lag) == (2, 6, 2)
    assert found.oldest is not None
    assert found.oldest.event_id == "evt_2"
    assert [found.is_done(offset) for offset in range(6)] == [True, True, False, True, True, False]
    assert found.waiting_before(5) == 1


@pytest.mark.parametrize(
    ("record", "customer_id"),
    [
        ({"key": None}, None),
        ({"key": b"\xff"}, "\ufffd"),
        ({"headers": ((BROADCAST_HEADER, b"1"),)}, None),
    ],
    ids=["no key", "no UTF-8", "a broadcast"],
)
async def test_the_oldest_event_need_not_be_valid(
    settings: Settings, producer: Producer, record: dict[str, Any], customer_id: str | None
) -> None:
    await write(settings, producer, 1, **record)

    oldest = (await first(settings)).oldest

    assert oldest is not None
    assert (oldest.customer_id, oldest.event_id) == (customer_id, "evt_1")


async def test_an_open_transaction_is_told_from_a_lag(
    settings: Settings, producer: Producer
) -> None:
    before_ms = round(time.time() * 1000)
    transactional = AIOKafkaProducer(
        **settings.cluster.arguments(), transactional_id=f"{settings.cluster.app_id}-test"
    )
    await transactional.start()
    try:
        await transactional.begin_transaction()
        await transactional.send_and_wait(settings.names.events, b"{}", key=b"acme", partition=0)
        opened = await first(settings)
        await transactional.abort_transaction()
    finally:
        await transactional.stop()

    assert (opened.lag, opened.end) == (0, 0)
    assert opened.open_since_ms is not None
    assert opened.open_since_ms >= before_ms
    assert (await first(settings)).open_since_ms is None


async def test_a_broker_that_is_away_is_named(settings: Settings) -> None:
    away = replace(settings.cluster, bootstrap="127.0.0.1:1")

    with pytest.raises(BrokerError) as raised:
        await ConsumerGroup(away).progress()

    assert raised.value.code == "broker_unreachable"
