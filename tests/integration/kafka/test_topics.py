"""Which topics there must be, and for whom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hookseal.errors import ConfigurationError
from hookseal.kafka import topics

if TYPE_CHECKING:
    from hookseal.config import Settings

pytestmark = [pytest.mark.broker, pytest.mark.apache]


async def test_workers_go_on_without_the_ledger_of_replays(settings: Settings) -> None:
    cluster, names = settings.cluster, settings.names
    await topics.create(cluster, partitions=3)

    await delete(settings, names.replays)

    assert await topics.partition_count(cluster) == 3
    with pytest.raises(ConfigurationError) as missing:
        topics.check(await topics.states(cluster))
    assert (missing.value.code, missing.value.field) == ("topic_missing", names.replays)


async def test_they_do_not_without_any_other(settings: Settings) -> None:
    await topics.create(settings.cluster, partitions=3)

    await delete(settings, settings.names.deliveries)

    with pytest.raises(ConfigurationError) as missing:
        await topics.partition_count(settings.cluster)
    assert missing.value.field == settings.names.deliveries


async def delete(settings: Settings, topic: str) -> None:
    admin = AIOKafkaAdminClient(**settings.cluster.arguments())
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    async with asyncio.timeout(30):
        while (await topics.partitions_of(settings.cluster, [topic])).get(topic):
            pass
