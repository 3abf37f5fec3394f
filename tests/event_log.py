"""`events` as the API publishes to it, on a real broker."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hookseal.domain.new_event import NewEvent
from hookseal.kafka.topics import TopicNames
from hookseal.publishing.event_log import EventLog
from tests.brokers.reading import read_all
from tests.conditions import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

PARTITIONS = 3


def a_draft(
    event_id: str = "evt_1", customer_id: str = "acme", *, data: str = "1", chosen: bool = True
) -> NewEvent:
    value = f'{{"type":"a.b","id":"{event_id}","data":{data}}}'.encode()
    return NewEvent(customer_id, value, event_id, "event" if chosen else "random")


@asynccontextmanager
async def a_log(cluster: Cluster, **changes: Any) -> AsyncIterator[EventLog]:
    """A log that is ready, what was written before included."""
    async with EventLog(cluster, **{"now": time.time, "timeout_s": 10, **changes}) as log:
        await ready(log)
        yield log


async def ready(log: EventLog) -> None:
    await until(lambda: log.why_not_ready() is None)


async def records(cluster: Cluster) -> list[Record]:
    return [found async for found in read_all(cluster, TopicNames(cluster.topic_prefix).events)]
