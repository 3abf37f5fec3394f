"""Status and trace without Kafka, on real processes."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.local import local_env
from tests.e2e.test_local import MEMORY, place, publish
from tests.e2e.test_status import status_until
from tests.e2e.test_trace import traced

if TYPE_CHECKING:
    from tests.e2e.test_local import Place
    from tests.redis_server import RedisServer

__all__ = ["place"]

pytestmark = pytest.mark.timeout(170)


async def test_a_held_queue_names_its_customer_and_its_events_are_traced(place: Place) -> None:
    place.env = local_env(MEMORY)
    local = await place.local("a", "--ordering", "customer", HOOKSEAL_RETRY_DELAYS_S="3600")
    acme = await place.customer(local, "acme")
    acme.status = 503
    await publish(local, "acme", 0, 1)

    found = await status_until(local, lambda found: found["partitions"][0]["state"] == "backoff")

    assert (found["group"], found["problems"], found["lag"]) == (None, [], 2)
    (worker,) = found["workers"]
    assert worker["partitions"] == [0]
    (partition,) = found["partitions"]
    assert (partition["worker"], partition["end_offset"]) == (worker["id"], None)
    held = partition["held_by"]
    assert (held["customer_id"], held["event_id"], held["code"]) == ("acme", "acme-0", "http_503")
    assert (await traced(local, "acme-0", "backoff"))["customer_id"] == "acme"
    behind = await traced(local, "acme-1", "waiting")
    assert behind["waiting"]["held_by"]["event_id"] == "acme-0"
    assert behind["waiting"]["events_before"] == 1
    never = await traced(local, "acme-2", "never_seen", "?customer_id=acme")
    assert "Without Kafka an event is deleted" in never["detail"]


async def test_processes_on_redis_are_listed_with_their_partitions(
    place: Place, redis: RedisServer
) -> None:
    place.env = local_env(redis.url)
    first = await place.local("a")
    second = await place.local("b")

    def is_shared(found: Any) -> bool:
        return [bool(one["partitions"]) for one in found["workers"]] == [True, True]

    found = await status_until(first, is_shared)

    partitions = chain.from_iterable(one["partitions"] for one in found["workers"])
    assert sorted(partitions) == [one["partition"] for one in found["partitions"]]
    assert found["problems"] == []
    assert {one["state"] for one in found["partitions"]} == {"idle"}
    await second.stop()
    async with asyncio.timeout(30):
        while len((await first.do("GET", "/v1/status"))["workers"]) > 1:
            pass
