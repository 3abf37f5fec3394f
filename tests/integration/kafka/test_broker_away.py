"""What is written while the broker is away, and how nothing is lost by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.domain.attempt import Attempt
from hookseal.domain.dead_letter import DeadLetter, added_headers
from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.delivery_log import KafkaAttemptLog
from hookseal.kafka.producer import Producer
from hookseal.kafka.topics import TopicNames
from tests.brokers.reading import read_all
from tests.builders import a_record, an_event
from tests.fakes import RecordingObserver

if TYPE_CHECKING:
    from tests.brokers import ApacheBroker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]

NAMES = TopicNames()


async def test_a_dead_letter_holds_on_until_the_broker_is_back(own_broker: ApacheBroker) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)
    observer = RecordingObserver()
    record = a_record()
    letter = DeadLetter(record, "endpoint_gone", "Gone.", "evt_7", 1.0, key=record.key)
    (node,) = own_broker.nodes

    async with Producer(cluster) as producer:
        dead_letters = KafkaDeadLetters(producer, NAMES, observer)
        await dead_letters.bury(letter)
        node.kill()
        burying = asyncio.create_task(dead_letters.bury(letter))
        await asyncio.to_thread(node.start)
        await burying

    letters = [found async for found in read_all(cluster, NAMES.dead_letters)]
    assert len(letters) == 2
    assert {added_headers(found.headers)["reason"] for found in letters} == {"endpoint_gone"}
    assert [found.value for found in letters] == [record.value] * 2


async def test_a_letter_that_cannot_be_written_holds_on_and_is_told_of(
    own_broker: ApacheBroker,
) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)
    observer = RecordingObserver()
    record = a_record()
    letter = DeadLetter(record, "endpoint_gone", "Gone.", "evt_7", 1.0, key=record.key)
    (node,) = own_broker.nodes

    async with Producer(cluster) as producer:
        dead_letters = KafkaDeadLetters(producer, NAMES, observer, held_after_s=0.2)
        await dead_letters.bury(letter)
        # On a busy machine this one may have been late, too.
        observer.bury_failures.clear()
        node.kill()
        burying = asyncio.create_task(dead_letters.bury(letter))
        async with asyncio.timeout(60):
            await observer.held.wait()
        assert not burying.done()
        await asyncio.to_thread(node.start)
        await burying

    assert observer.bury_failures[:2] == [1, 2]
    assert observer.bury_failures[-1] == 0
    letters = [found async for found in read_all(cluster, NAMES.dead_letters)]
    assert {found.value for found in letters} == {record.value}


async def test_the_delivery_log_holds_nobody_up_while_the_broker_is_away(
    own_broker: ApacheBroker,
) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)
    dropped: list[int] = []
    log = KafkaAttemptLog(cluster, NAMES, on_dropped=dropped.append, buffer_records=100)
    attempt = Attempt("ep_1", 1, 5, "accepted", 200, 0.01, "key-1")
    (node,) = own_broker.nodes

    async def written(count: int) -> int:
        """Note attempts until so many stand on the topic; return how many that took."""
        noted = 0
        while len([0 async for _ in read_all(cluster, NAMES.deliveries)]) < count:
            log.attempted(an_event(), "acme", attempt)
            noted += 1
        return noted

    await log.start()
    noted = await written(1)
    node.kill()
    for _ in range(1000):
        log.attempted(an_event(), "acme", attempt)
    noted += 1000
    # The buffer is bounded, and none of this has waited for anything.
    assert sum(dropped) >= 900
    await asyncio.to_thread(node.start)
    stood = len([0 async for _ in read_all(cluster, NAMES.deliveries)])
    noted += await written(stood + 1)
    await log.close()

    found = len([0 async for _ in read_all(cluster, NAMES.deliveries)])
    assert found + sum(dropped) >= noted


async def test_a_record_with_neither_key_nor_value_can_be_a_dead_letter(
    own_broker: ApacheBroker,
) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)

    async with Producer(cluster) as producer:
        await producer.publish(NAMES.dead_letters, key=None, value=None)

    (found,) = [record async for record in read_all(cluster, NAMES.dead_letters)]
    assert (found.key, found.value) == (b"", None)


async def test_a_record_of_the_greatest_size_can_be_a_dead_letter(own_broker: ApacheBroker) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)
    greatest = 1024 * 1024 - 100
    headers = tuple((f"header-{n}", b"x" * 100) for n in range(100))

    async with Producer(cluster) as producer:
        await producer.publish(NAMES.events, key=b"acme", value=b"x" * greatest)
        await producer.publish(
            NAMES.dead_letters, key=b"acme", value=b"x" * greatest, headers=headers
        )

    (found,) = [record async for record in read_all(cluster, NAMES.dead_letters)]
    assert len(found.value or b"") == greatest
