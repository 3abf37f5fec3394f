"""What happens to records that Kafka does not take, now or ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest

from hookseal.dead_letters.index import LetterIndex
from hookseal.dead_letters.replay import Replayer
from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.domain.dead_letter import DeadLetter, added_headers
from hookseal.domain.event import parse_event
from hookseal.domain.letter_filter import LetterFilter
from hookseal.domain.record import Record
from hookseal.errors import ConflictError, RecordRefusedError
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.publishing.router import KafkaRouter
from tests.brokers.reading import read_all
from tests.builders import a_record
from tests.conditions import until
from tests.fakes import RecordingObserver
from tests.integration.kafka.replaying import PARTITIONS, write_letters

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.kafka.cluster import Cluster

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


async def make_topics(
    cluster: Cluster, limited: str, *, partitions: int = 1, **limits: object
) -> None:
    """Create all topics, one of them with limits of its own.

    A limit that is set on a topic that is there already takes effect at any later moment.
    """
    admin = AIOKafkaAdminClient(**cluster.arguments())
    await admin.start()
    try:
        named = {name.replace("_", "."): str(value) for name, value in limits.items()}
        await admin.create_topics([NewTopic(limited, partitions, 1, topic_configs=named)])
    finally:
        await admin.close()
    await topics.create(cluster, partitions=partitions)


async def raw_bytes(cluster: Cluster, topic: str) -> bytes:
    """Return what stands on partition 0, as the broker has it."""
    client = AIOKafkaClient(**cluster.arguments())
    await client.bootstrap()
    try:
        await client._wait_on_metadata(topic)
        leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
        request = FetchRequest(
            max_wait_time=1000,
            min_bytes=1,
            max_bytes=1 << 20,
            isolation_level=0,
            topics=[(topic, [(0, 0, 1 << 20)])],
        )
        answer = await client.send(leader, request)
        return b"".join(bytes(partition[-1]) for _, found in answer.topics for partition in found)
    finally:
        await client.close()


@pytest.mark.apache
class TestDeadLetters:
    async def test_over_the_limit_of_the_topic_are_cut_and_the_next_one_is_whole(
        self, settings: Settings
    ) -> None:
        cluster, topic = settings.cluster, settings.names.dead_letters
        await make_topics(cluster, topic, partitions=1, max_message_bytes=64 * 1024)
        observer = RecordingObserver()

        async with Producer(cluster) as producer:
            dead_letters = KafkaDeadLetters(producer, settings.names, observer)
            for value in (b"x" * 200_000, b'{"n": 1}'):
                record = a_record(value, ("trace", b"kept"))
                await dead_letters.bury(
                    DeadLetter(record, "json_invalid", "No JSON.", "evt_7", 1.0, key=record.key)
                )

        cut, whole = [found async for found in read_all(cluster, topic)]
        assert cut.value is not None
        assert 30_000 < len(cut.value) < 64 * 1024
        assert added_headers(cut.headers)["value-bytes"] == "200000"
        assert ("trace", b"kept") in cut.headers
        assert (whole.value, added_headers(whole.headers).get("truncated")) == (b'{"n": 1}', None)
        assert observer.bury_failures == []

    async def test_wait_for_a_topic_that_is_missing_and_are_not_lost(
        self, settings: Settings
    ) -> None:
        cluster, topic = settings.cluster, settings.names.dead_letters
        observer = RecordingObserver()
        record = a_record()
        letter = DeadLetter(record, "endpoint_gone", "Gone.", "evt_7", 1.0, key=record.key)

        async with Producer(cluster, timeout_s=1) as producer:
            dead_letters = KafkaDeadLetters(producer, settings.names, observer, held_after_s=0.5)
            burying = asyncio.create_task(dead_letters.bury(letter))
            await until(lambda: dead_letters.is_held)
            await topics.create(cluster, partitions=1)
            await burying

        assert [found.value async for found in read_all(cluster, topic)] == [record.value]
        assert not dead_letters.is_held


class TestHeaderNames:
    async def test_of_any_bytes_are_written_as_they_are(self, settings: Settings) -> None:
        cluster, topic = settings.cluster, settings.names.events
        await topics.create(cluster, partitions=1)
        name = b"\xff\xfe\x80x".decode("utf-8", "surrogateescape")
        headers: Any = ((name, b"1"), ("trace", None))

        async with Producer(cluster) as producer:
            await producer.publish(topic, key=b"k", value=b"before")
            position = await producer.publish(
                topic, key=b"k", value=b"v", headers=headers, partition=0
            )
            after = await producer.publish(topic, key=b"k", value=b"after")

        assert (position.offset, after.offset) == (1, 2)
        # Lengths are zigzag varints: 4 bytes are 8, a length of -1 is 1.
        assert b"\x02v\x04\x08\xff\xfe\x80x\x021\x0atrace\x01" in await raw_bytes(cluster, topic)


@pytest.mark.apache
class TestReroute:
    async def test_keeps_the_time_of_an_event_whose_timestamp_is_refused(
        self, settings: Settings
    ) -> None:
        cluster, topic = settings.cluster, settings.names.events
        await make_topics(cluster, topic, partitions=1, message_timestamp_before_max_ms=3_600_000)
        event = parse_event(a_record(), max_bytes=10_000)

        async with Producer(cluster) as producer:
            await KafkaRouter(producer, settings.names, lambda: 1).reroute(event, 0)

        (moved,) = [found async for found in read_all(cluster, topic)]
        assert moved.timestamp_ms > event.record.timestamp_ms
        assert parse_event(moved, max_bytes=10_000).timestamp == event.timestamp

    async def test_is_refused_for_an_event_that_its_headers_make_too_large(
        self, settings: Settings
    ) -> None:
        cluster = settings.cluster
        await make_topics(cluster, settings.names.events, partitions=1, max_message_bytes=1000)
        record = a_record({"type": "a.b", "data": "x" * 900, "id": "evt_7"})

        async with Producer(cluster) as producer:
            router = KafkaRouter(producer, settings.names, lambda: 1)
            with pytest.raises(RecordRefusedError):
                await router.reroute(parse_event(record, max_bytes=10_000), 0)
            small = parse_event(a_record(), max_bytes=10_000)
            await router.reroute(small, 0)

        assert len([found async for found in read_all(cluster, settings.names.events)]) == 1


@pytest.mark.apache
async def test_a_replay_names_the_letter_that_kafka_does_not_take_and_publishes_the_others(
    settings: Settings, tmp_path: Path
) -> None:
    cluster, names = settings.cluster, settings.names
    await make_topics(cluster, names.events, partitions=PARTITIONS, max_message_bytes=4000)
    home = partition_of("acme", PARTITIONS)
    await write_letters(settings, 3, customers=["acme"])
    async with Producer(cluster) as producer:
        value = b'{"type":"a.b","id":"big","data":"' + b"x" * 5000 + b'"}'
        record = Record(names.events, home, 99, b"acme", value, (), 1_700_000_000_000)
        letter = DeadLetter(record, "attempts_exhausted", "No.", "big", 1.0, key=b"acme")
        await KafkaDeadLetters(producer, names, RecordingObserver()).bury(letter)
    await write_letters(settings, 3, customers=["acme"])
    index = LetterIndex(cluster, tmp_path)
    await index.start()
    try:
        replayer = Replayer(cluster, index, event_max_bytes=settings.event_max_bytes)
        with pytest.raises(ConflictError) as caught:
            await replayer.replay(LetterFilter(), wait_s=0)
    finally:
        await index.close()

    assert (caught.value.code, caught.value.field) == ("replay_refused", f"{home}/3")
    published = [found async for found in read_all(cluster, names.events)]
    assert value not in [found.value for found in published]
    assert len(published) == 6


@pytest.mark.apache
async def test_a_record_larger_than_any_letter_becomes_a_dead_letter_that_fits(
    settings: Settings,
) -> None:
    cluster, names = settings.cluster, settings.names
    await make_topics(cluster, names.events, partitions=1, max_message_bytes=4_000_000)
    value = b'{"id":"big","type":"order.paid","data":{"pad":"' + b"x" * 3_000_000 + b'"}}'
    client = AIOKafkaProducer(**cluster.arguments(), max_request_size=4_000_000)
    await client.start()
    await client.send_and_wait(names.events, key=b"acme", value=value)
    await client.stop()
    (record,) = [found async for found in read_all(cluster, names.events)]

    async with Producer(cluster) as producer:
        await KafkaDeadLetters(producer, names, RecordingObserver()).bury(
            DeadLetter(record, "payload_too_large", "Too large.", "big", 1.0, key=record.key)
        )

    (found,) = [found async for found in read_all(cluster, names.dead_letters)]
    assert found.value == value[: len(found.value or b"")]
    assert len(found.value or b"") > 2_000_000
    assert added_headers(found.headers)["value-bytes"] == str(len(value))
