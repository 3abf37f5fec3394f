"""Publishing while Kafka is away, refuses, or has no topic yet; and while too much waits."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hookseal.domain.event import parse_event
from hookseal.errors import BrokerError, HooksealError, InvalidInputError
from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.topics import TopicNames
from hookseal.publishing.event_log import EventLog
from hookseal.publishing.partition_writer import PendingRecord
from hookseal.publishing.writer import EventWriter
from tests.conditions import until
from tests.event_log import PARTITIONS, a_draft, a_log, ready, records

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.domain.new_event import NewEvent
    from tests.brokers import ApacheBroker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]


@pytest.fixture
async def cluster(settings: Settings) -> Cluster:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    return settings.cluster


class TestTrouble:
    async def test_what_kafka_refuses_does_not_keep_the_next_from_being_written(
        self, cluster: Cluster
    ) -> None:
        await limit_records(cluster, max_bytes=2000)

        async with a_log(cluster) as log:
            # From here on the broker knows which sequence number comes next.
            await log.publish_many([a_draft("evt_0")])
            refused = await code_of(log, a_draft(data=f'"{"x" * 5000}"'))
            # Neither its id nor its place in the producer's sequence is taken.
            await log.publish_many([a_draft(data="2"), a_draft("evt_2")])

        assert refused == "record_too_large"
        assert len(await records(cluster)) == 3

    async def test_an_event_that_kafka_refuses_fails_its_own_request_alone(
        self, cluster: Cluster
    ) -> None:
        await limit_records(cluster, max_bytes=2000)

        async with a_log(cluster) as log:
            # The limit takes effect at any moment after it is set.
            large = f'"{"x" * 5000}"'
            tried = 0
            while await code_of(log, a_draft(f"large_{tried}", data=large)) is None:
                tried += 1
            # While the first batch is under way the others gather in the next one.
            codes = await asyncio.gather(
                code_of(log, a_draft("evt_1")),
                code_of(log, a_draft("evt_2")),
                code_of(log, a_draft("evt_3", data=large)),
                code_of(log, a_draft("evt_4")),
            )

        assert list(codes) == [None, None, "record_too_large", None]
        assert len(await records(cluster)) == tried + 3

    async def test_more_than_there_is_room_for_is_refused(self, cluster: Cluster) -> None:
        topic = TopicNames(cluster.topic_prefix).events
        writer = EventWriter(cluster, topic, timeout_s=10, queued_max_bytes=2000)
        writes = [PendingRecord(0, b"acme", b"x" * 400, ()) for _ in range(3)]

        await writer.start()
        await until(lambda: writer.why_not_ready() is None)
        with pytest.raises(BrokerError, match="overloaded"):
            writer.check_room(writes)
        writer.check_room(writes[:2])
        writer.put(writes[:2])
        with pytest.raises(BrokerError, match="overloaded"):
            writer.check_room(writes[2:])
        await writer.wait(writes[:2])
        writer.check_room(writes[2:])
        await writer.close()

    async def test_broadcasts_that_would_be_too_many_records_are_refused(
        self, cluster: Cluster
    ) -> None:
        async with a_log(cluster) as log:
            with pytest.raises(InvalidInputError, match="batch_too_large"):
                await log.publish_many([a_draft(customer_id="")] * 7000)

    async def test_a_topic_that_is_made_later_is_found(self, settings: Settings) -> None:
        async with EventLog(settings.cluster, now=time.time, timeout_s=10) as log:
            await until(lambda: code_if_any(log) == "topic_missing")
            assert await code_of(log, a_draft()) == "topic_missing"

            await topics.create(settings.cluster, partitions=PARTITIONS)
            await ready(log)

            await log.publish_many([a_draft()])


async def limit_records(cluster: Cluster, *, max_bytes: int) -> None:
    admin = AIOKafkaAdminClient(**cluster.arguments())
    await admin.start()
    try:
        topic = TopicNames(cluster.topic_prefix).events
        limits = {"max.message.bytes": str(max_bytes)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, limits)])
    finally:
        await admin.close()


def code_if_any(log: EventLog) -> str | None:
    reason = log.why_not_ready()
    return None if reason is None else reason.code


async def test_publishing_outlasts_an_outage_and_a_start_without_kafka(
    own_broker: ApacheBroker,
) -> None:
    cluster = Cluster(own_broker.bootstrap)
    await topics.create(cluster, partitions=1)
    (node,) = own_broker.nodes

    async with a_log(cluster, timeout_s=1) as log:
        await log.publish_many([a_draft("before")])
        node.kill()
        # Under way when nobody answers: it cannot be known.
        assert await code_of(log, a_draft("during")) == "publish_failed"
        # What would wait behind it is refused at once, and the way is said to be closed.
        assert await code_of(log, a_draft("after")) == "broker_unreachable"
        assert log.why_not_ready() is not None
        async with EventLog(cluster, now=time.time, timeout_s=1) as started_without:
            assert await code_of(started_without, a_draft("x")) == "broker_unreachable"
            assert started_without.why_not_ready() is not None
            await asyncio.to_thread(node.start)
            await ready(started_without)
            await ready(log)

            await log.publish_many([a_draft("during"), a_draft("after")])
            await started_without.publish_many([a_draft("new")])

    found = [parse_event(one, max_bytes=999).id for one in await records(cluster)]
    assert found == ["before", "during", "after", "new"]


async def code_of(log: EventLog, draft: NewEvent) -> str | None:
    try:
        await log.publish_many([draft])
    except HooksealError as error:
        return error.code
    return None
