"""Dead letters read back from a real broker, and entered in the ledger."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
from hookseal.dead_letters.index import LetterIndex
from hookseal.dead_letters.replay.lease import ReplayLease
from hookseal.domain.letter_filter import LetterFilter
from hookseal.domain.replay import is_deferred
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from tests.integration.kafka.replaying import PARTITIONS, write_letters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.domain.record import Record

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

PLACE = 0
ACME, OTHER = [
    customer
    for customer in (f"c{number}" for number in range(20))
    if partition_of(customer, PARTITIONS) == PLACE
][:2]
suspended = partial(write_letters, reason="endpoint_suspended", status=None)


@pytest.fixture
async def letters(settings: Settings) -> AsyncIterator[KafkaDeferredEvents]:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    async with Producer(settings.cluster) as producer:
        reader = KafkaDeferredEvents(settings.cluster, settings.names, producer)
        yield reader
        await reader.close()


async def all_of(letters: KafkaDeferredEvents, customer: str, *, start: int = 0) -> list[Any]:
    """Return the numbers of what was set aside, read stretch by stretch."""
    end = await letters.end(PLACE)
    found: list[Record] = []
    while start < end:
        page = await letters.read(
            PLACE, start, end, lambda letter: is_deferred(letter, customer, "ep_1")
        )
        found += page.letters
        start = page.next
    return [orjson.loads(letter.value or b"")["data"] for letter in found]


async def test_an_endpoint_s_letters_come_in_order_and_without_those_of_others(
    letters: KafkaDeferredEvents, settings: Settings
) -> None:
    await suspended(settings, 500, customers=[ACME, OTHER])
    await write_letters(settings, 50, customers=[ACME])
    await suspended(settings, 50, customers=[ACME], endpoint_id="ep_2")

    assert await all_of(letters, ACME) == list(range(0, 500, 2))
    assert await all_of(letters, OTHER) == list(range(1, 500, 2))
    assert await all_of(letters, "nobody") == []


async def test_no_more_is_held_than_a_stretch(
    letters: KafkaDeferredEvents, settings: Settings
) -> None:
    await suspended(settings, 250, customers=[ACME])

    page = await letters.read(PLACE, 0, 250, lambda _: True)

    assert (len(page.letters), page.next) == (100, 100)


async def test_nothing_is_read_from_the_end_on(
    letters: KafkaDeferredEvents, settings: Settings
) -> None:
    await suspended(settings, 20, customers=[ACME])

    page = await letters.read(PLACE, 5, 12, lambda _: True)

    assert ([letter.offset for letter in page.letters], page.next) == (
        list(range(5, 12)),
        12,
    )


@pytest.mark.apache
async def test_the_marker_of_a_transaction_holds_nothing(
    letters: KafkaDeferredEvents, settings: Settings
) -> None:
    await suspended(settings, 3, customers=[ACME])
    producer = AIOKafkaProducer(
        **settings.cluster.arguments(), transactional_id=f"{settings.topic_prefix}x"
    )
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(settings.names.dead_letters, b"x", partition=PLACE)
    await producer.stop()

    # The last offset is the marker's.
    assert await letters.end(PLACE) == 5
    assert await all_of(letters, ACME) == [0, 1, 2]


@pytest.mark.apache
async def test_an_open_transaction_holds_no_other_partition(
    letters: KafkaDeferredEvents, settings: Settings
) -> None:
    beside = next(
        customer
        for customer in (f"c{number}" for number in range(20))
        if partition_of(customer, PARTITIONS) == PLACE + 1
    )
    await suspended(settings, 3, customers=[ACME])
    await suspended(settings, 3, customers=[beside])
    producer = AIOKafkaProducer(
        **settings.cluster.arguments(), transactional_id=f"{settings.topic_prefix}x"
    )
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(settings.names.dead_letters, b"x", partition=PLACE)
        await suspended(settings, 2, customers=[ACME])
        held = asyncio.create_task(all_of(letters, ACME))
        for _ in range(10):
            page = await letters.read(PLACE + 1, 0, 3, lambda _: True)
            assert (len(page.letters), page.next) == (3, 3)
        is_held = not held.done()
    await producer.stop()

    assert is_held
    # Each page ends before the transaction, and nothing is left out.
    assert await held == [0, 1, 2, 0, 1]


@pytest.mark.apache
async def test_what_retention_took_is_told_of_and_the_rest_is_read(
    letters: KafkaDeferredEvents, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await suspended(settings, 10, customers=[ACME])
    admin = AIOKafkaAdminClient(**settings.cluster.arguments())
    await admin.start()
    place = TopicPartition(settings.names.dead_letters, PLACE)
    await admin.delete_records({place: RecordsToDelete(before_offset=4)})
    await admin.close()

    assert await all_of(letters, ACME) == [4, 5, 6, 7, 8, 9]
    assert "from offset 0 to 4 are gone before they could be delivered" in caplog.text


@pytest.mark.apache
async def test_what_was_delivered_counts_as_replayed_and_disturbs_no_replay(
    letters: KafkaDeferredEvents, settings: Settings, tmp_path: Path
) -> None:
    await suspended(settings, 5, customers=[ACME])
    line = ReplayLease(settings.cluster, settings.names, PLACE)
    await line.claim()
    read = await letters.read(PLACE, 0, 5, lambda _: True)

    await letters.settle(PLACE, read.letters[:3])
    # Its last entry still says who holds the partition.
    await line.release()
    successor = ReplayLease(settings.cluster, settings.names, PLACE)
    await successor.claim(wait_s=0)
    await successor.release()
    index = LetterIndex(settings.cluster, tmp_path)
    await index.start()
    await index.catch_up()
    page = await index.page(LetterFilter(replayed=False), limit=10)
    await index.close()

    assert sorted(letter.offset for letter in page.letters) == [3, 4]
