"""The search for one event on `events`, on a real broker."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiokafka import TopicPartition

from hookseal.domain.event import BROADCAST_HEADER, REPLAY_HEADER, derived_id
from hookseal.errors import BrokerError
from hookseal.kafka import topics
from hookseal.kafka.consumer import read_from, record_from, records_at
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.publishing.event_search import EventSearch
from tests.builders import MAX_BYTES
from tests.e2e.conftest import customers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.config import Settings
    from hookseal.domain.event_trace import Search
    from hookseal.domain.record import Header

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]

PARTITIONS = 6
ACME, NEIGHBOUR = customers(2, partition=1)
(OTHER,) = customers(1, partition=4)


class Events:
    """Writes events, and searches for them."""

    def __init__(self, settings: Settings, producer: Producer) -> None:
        self.settings = settings
        self._producer = producer

    async def write(
        self, event_id: str | None, *headers: Header, customer: str = ACME, **more: Any
    ) -> int:
        value = {"type": "order.paid", "data": 1}
        if event_id is not None:
            value["id"] = event_id
        position = await self._producer.publish(
            self.settings.names.events,
            key=customer.encode(),
            value=orjson.dumps(value),
            headers=headers,
            partition=partition_of(customer, PARTITIONS),
            **more,
        )
        return position.offset

    async def find(self, event_id: str, customer: str | None = ACME, **more: Any) -> Search:
        options = {"event_max_bytes": MAX_BYTES, **more}
        since_ms = options.pop("since_ms", 0)
        search = EventSearch(self.settings.cluster, **options)
        return await search.find(event_id, customer, since_ms=since_ms)


@pytest.fixture
async def events(settings: Settings) -> AsyncIterator[Events]:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    async with Producer(settings.cluster) as producer:
        yield Events(settings, producer)


def offset_of(search: Search) -> int | None:
    return None if search.found is None else search.found.record.offset


async def test_finds_the_event_of_its_customer_only(events: Events) -> None:
    await events.write("evt_1", customer=NEIGHBOUR)
    await events.write("evt_2")
    wanted = await events.write("evt_1")

    found = await events.find("evt_1")

    assert offset_of(found) == wanted
    assert found.found is not None
    assert found.found.event is not None
    assert found.found.event.customer_id == ACME
    assert (found.partitions, found.records, found.is_complete) == ((1,), 3, True)


async def test_the_first_copy_is_found_rather_than_its_replay(events: Events) -> None:
    replay = (REPLAY_HEADER, b"dead-letters/1/0")
    only_replay = await events.write("evt_2", replay)
    await events.write("evt_1", replay)
    first = await events.write("evt_1")

    assert offset_of(await events.find("evt_1")) == first
    assert offset_of(await events.find("evt_2")) == only_replay


async def test_an_id_that_json_escapes_is_found(events: Events) -> None:
    wanted = await events.write('evt"1\\')

    assert offset_of(await events.find('evt"1\\')) == wanted


async def test_an_event_without_an_id_is_found_by_the_one_it_got(events: Events) -> None:
    await events.write("evt_1")
    wanted = await events.write(None)
    tp = TopicPartition(events.settings.names.events, 1)
    async with read_from(events.settings.cluster) as consumer:
        (record,) = await records_at(consumer, tp, [wanted])

    assert offset_of(await events.find(derived_id(record_from(record)))) == wanted


async def test_a_broadcast_is_found_for_every_customer(events: Events) -> None:
    wanted = await events.write("evt_1", (BROADCAST_HEADER, b"1"), customer=NEIGHBOUR)

    assert offset_of(await events.find("evt_1", ACME)) == wanted


async def test_without_a_customer_all_partitions_are_searched(events: Events) -> None:
    await events.write("evt_1")
    wanted = await events.write("evt_9", customer=OTHER)

    found = await events.find("evt_9", None)

    assert offset_of(found) == wanted
    assert found.found is not None
    assert found.found.record.key == OTHER.encode()
    assert len(found.partitions) == PARTITIONS


async def test_the_search_is_bounded_and_says_so(events: Events) -> None:
    await events.write("evt_0")
    for number in range(1, 8):
        await events.write(f"evt_{number}")

    missed = await events.find("evt_0", records_max=4)
    latest = await events.find("evt_5", records_max=4)

    assert (missed.found, missed.records, missed.is_complete) == (None, 4, False)
    assert offset_of(latest) == 5


async def test_only_the_time_that_is_asked_for_is_searched(events: Events) -> None:
    now_ms = round(time.time() * 1000)
    await events.write("evt_old", timestamp_ms=now_ms - 60_000)
    await events.write("evt_new", timestamp_ms=now_ms)

    old = await events.find("evt_old", since_ms=now_ms - 30_000)
    new = await events.find("evt_new", since_ms=now_ms - 30_000)
    nothing = await events.find("evt_new", since_ms=now_ms + 30_000)

    assert (old.found, old.records, old.is_complete) == (None, 1, True)
    assert offset_of(new) == 1
    assert (nothing.found, nothing.records) == (None, 0)


async def test_a_broker_that_is_away_is_named(events: Events) -> None:
    cluster = replace(events.settings.cluster, bootstrap="127.0.0.1:1")

    with pytest.raises(BrokerError) as raised:
        await EventSearch(cluster, event_max_bytes=MAX_BYTES).find("evt_1", ACME, since_ms=0)

    assert raised.value.code == "broker_unreachable"
