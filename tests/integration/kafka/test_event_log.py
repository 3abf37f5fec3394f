"""Publishing on a real broker: acknowledged, in order, once under an id, through outages."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from hookseal.domain.event import (
    BROADCAST_HEADER,
    EVENT_ID_HEADER,
    REPLAY_HEADER,
    is_broadcast,
    parse_event,
)
from hookseal.domain.new_event import endpoint_test
from hookseal.domain.record import Position
from hookseal.errors import EventIdReusedError
from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.producer import Producer
from hookseal.kafka.topics import TopicNames
from tests.builders import a_tenant
from tests.conditions import until
from tests.event_log import PARTITIONS, a_draft, a_log, records
from tests.unit.api.conftest import Api

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.kafka.cluster import Cluster
    from hookseal.publishing.event_log import EventLog

pytestmark = [pytest.mark.broker, pytest.mark.apache]


@pytest.fixture
async def cluster(settings: Settings) -> Cluster:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    return settings.cluster


class TestPublishing:
    async def test_an_event_stands_where_it_is_said_to(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            ((place,),) = await log.publish_many([a_draft(chosen=False)])

        (found,) = await records(cluster)
        assert place == Position(found.partition, found.offset)
        assert found.partition == partition_of("acme", PARTITIONS)
        event = parse_event(found, max_bytes=999)
        assert (event.customer_id, event.id, event.data) == ("acme", "evt_1", b"1")
        assert found.headers == ()

    async def test_requests_at_once_keep_their_order_by_customer(self, cluster: Cluster) -> None:
        batches = [
            [a_draft(f"evt_{one}_{n}", f"c{n % 5}", chosen=False) for n in range(100)]
            for one in range(20)
        ]

        async with a_log(cluster) as log:
            placed = await asyncio.gather(*(log.publish_many(batch) for batch in batches))

        found = {(record.partition, record.offset): record for record in await records(cluster)}
        assert len(found) == 2000
        for batch, places in zip(batches, placed, strict=True):
            last: dict[str, int] = {}
            for draft, (place,) in zip(batch, places, strict=True):
                assert found[place].value == draft.value
                assert place.offset > last.get(draft.customer_id, -1)
                last[draft.customer_id] = place.offset

    async def test_a_broadcast_has_a_copy_on_each_partition(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            (places,) = await log.publish_many([a_draft(customer_id="")])

        found = await records(cluster)
        assert sorted(places) == sorted(Position(one.partition, one.offset) for one in found)
        assert {place.partition for place in places} == set(range(PARTITIONS))
        assert all(is_broadcast(one) for one in found)
        assert {parse_event(one, max_bytes=999).id for one in found} == {"evt_1"}

    async def test_a_notice_goes_to_its_tenant(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            await log.publish_once(endpoint_test("acme", "ep_1", "evt_t"))

        (found,) = await records(cluster)
        event = parse_event(found, max_bytes=999)
        assert (event.customer_id, event.only_endpoint) == ("acme", "ep_1")


class TestRepeats:
    async def test_are_told_the_first_place_and_not_written(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            first = await log.publish_many([a_draft(), a_draft("evt_2")])
            again = await log.publish_many([a_draft("evt_2"), a_draft(), a_draft()])

        assert again == [first[1], first[0], first[0]]
        assert len(await records(cluster)) == 2

    async def test_at_once_share_one_write(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            answers = await asyncio.gather(*(log.publish_many([a_draft()]) for _ in range(20)))

        assert all(answer == answers[0] for answer in answers)
        assert len(await records(cluster)) == 1

    async def test_of_another_value_are_refused_and_nothing_is_written(
        self, cluster: Cluster
    ) -> None:
        async with a_log(cluster) as log:
            await log.publish_many([a_draft()])
            with pytest.raises(EventIdReusedError) as caught:
                await log.publish_many([a_draft("evt_2"), a_draft(data="2")])
            # Not even under way: its id is free for another value.
            await log.publish_many([a_draft("evt_2", data="3")])

        assert caught.value.index == 1
        assert [one.value for one in await records(cluster)] == [
            a_draft().value,
            a_draft("evt_2", data="3").value,
        ]

    async def test_of_another_customer_are_none(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            await log.publish_many([a_draft(), a_draft(customer_id="other", data="2")])

        assert len(await records(cluster)) == 2

    async def test_on_another_process_are_told_the_first_place(self, cluster: Cluster) -> None:
        async with a_log(cluster) as other, a_log(cluster) as log:
            await other.publish_many([a_draft(f"evt_{n}", chosen=False) for n in range(50)])
            first = await other.publish_many([a_draft(), a_draft("all", customer_id="")])
            # The other's events are seen once their ends were asked for.
            await seen(log, 50 + 1 + PARTITIONS)

            assert await log.publish_many([a_draft(), a_draft("all", customer_id="")]) == first
            with pytest.raises(EventIdReusedError):
                await log.publish_many([a_draft(data="2")])

        assert len(await records(cluster)) == 50 + 1 + PARTITIONS

    async def test_after_a_restart_are_told_the_first_place(self, cluster: Cluster) -> None:
        async with a_log(cluster) as log:
            first = await log.publish_many([a_draft(), a_draft("all", customer_id="")])

        async with a_log(cluster) as log:
            again = await log.publish_many([a_draft(), a_draft("all", customer_id="")])

        assert again == first
        assert len(await records(cluster)) == 1 + PARTITIONS

    async def test_after_the_window_are_written_again(self, cluster: Cluster) -> None:
        now = time.time()
        async with a_log(cluster, now=lambda: now) as log:
            await log.publish_many([a_draft()])
            now += 601
            await log.publish_many([a_draft()])

        assert len(await records(cluster)) == 2

    async def test_of_a_broadcast_write_the_copies_that_are_missing(self, cluster: Cluster) -> None:
        draft = a_draft("all", customer_id="")
        headers = ((EVENT_ID_HEADER, b"all"), (BROADCAST_HEADER, b"1"))
        topic = TopicNames(cluster.topic_prefix).events
        async with Producer(cluster) as producer:
            there = await producer.publish(
                topic, key=None, value=draft.value, headers=headers, partition=1
            )

        async with a_log(cluster) as log:
            (places,) = await log.publish_many([draft])

        assert places[1] == there
        assert len(await records(cluster)) == PARTITIONS

    async def test_of_a_replay_are_none(self, cluster: Cluster) -> None:
        headers = ((EVENT_ID_HEADER, b"evt_1"), (REPLAY_HEADER, b"0/7"))
        topic = TopicNames(cluster.topic_prefix).events
        async with Producer(cluster) as producer:
            await producer.publish(topic, key=b"acme", value=a_draft().value, headers=headers)

        async with a_log(cluster) as log:
            await log.publish_many([a_draft()])

        assert len(await records(cluster)) == 2


async def seen(log: EventLog, count: int) -> None:
    """Wait until the log knows of so many records on all partitions."""
    await until(lambda: sum(one.offset for one in log._follower._seen.values()) >= count)


class TestOverHttp:
    async def test_one_a_batch_and_lines_are_on_the_log(self, cluster: Cluster) -> None:
        event = {"customer_id": "acme", "type": "a.b", "data": {"n": 1}}
        lines = b'{"customer_id":"acme","type":"a.b","data":  3}\n{"type":"a.b","data":4}'
        headers = {"Content-Type": "application/x-ndjson"}

        async with a_log(cluster) as log:
            api = Api(log)
            api.model.put("acme", a_tenant("acme"))
            await api.start()
            one = await api.json("POST", "/v1/events", event)
            batch = await api.json("POST", "/v1/events", [event, event])
            more = await api.json("POST", "/v1/events", data=lines, headers=headers)
            await api.close()

        told = [one, *batch["items"], more["items"][0]]
        found = {(record.partition, record.offset): record for record in await records(cluster)}
        events = [
            parse_event(found.pop((item["partition"], item["offset"])), max_bytes=999)
            for item in told
        ]
        assert [event.id for event in events] == [item["id"] for item in told]
        assert [event.data for event in events] == [b'{"n": 1}'] * 3 + [b"3"]
        assert {parse_event(copy, max_bytes=999).id for copy in found.values()} == {
            more["items"][1]["id"]
        }
        assert more["items"][1]["partitions"] == len(found) == PARTITIONS

    async def test_an_idempotency_key_is_known_to_another_process(self, cluster: Cluster) -> None:
        event = {"type": "a.b", "data": {"n": 1}}
        headers = {"Idempotency-Key": "k-1"}
        answers = []
        first = Api()
        key = first.tenant("acme", "events:write")

        for _ in range(2):
            async with a_log(cluster) as log:
                api = Api(log)
                api.model.held.update(first.model.held)
                await api.start()
                answers.append(
                    await api.json("POST", "/v1/events", [event] * 3, key=key, headers=headers)
                )
                other = await api.problem(
                    "POST", "/v1/events", {**event, "data": 2}, key=key, headers=headers
                )
                await api.close()
            assert other == (409, "idempotency_key_reused")

        assert answers[0] == answers[1]
        assert len(await records(cluster)) == 3
