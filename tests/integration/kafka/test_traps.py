"""Traps in aiokafka that the streams avoid, shown on the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from hookseal.kafka import topics
from hookseal.kafka.producer import Producer

if TYPE_CHECKING:
    from hookseal.config import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(60)]


async def test_seek_to_committed_leaves_a_partition_without_commit_where_it_is(
    settings: Settings,
) -> None:
    cluster, place = settings.cluster, TopicPartition(settings.names.events, 0)
    await topics.create(cluster, partitions=1)
    async with Producer(cluster) as producer:
        for number in range(3):
            await producer.publish(settings.names.events, key=b"k", value=b"%d" % number)
    consumer = AIOKafkaConsumer(
        **cluster.arguments(),
        group_id=cluster.app_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign([place])
        assert (await consumer.getone()).offset == 0

        await consumer.seek_to_committed(place)
        # Not 0: what was read and dropped would not be read again.
        assert (await consumer.getone()).offset == 1

        await consumer.commit({place: 1})
        await consumer.seek_to_committed(place)
        assert (await consumer.getone()).offset == 1
    finally:
        await consumer.stop()
