"""Publishing over the API: in order, in batches, nothing twice, errors by their lines."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from hookseal.api.client import ApiClient
from hookseal.cli.batch_publisher import BatchPublisher
from hookseal.domain.new_event import NewEventReader
from hookseal.domain.record import Position
from hookseal.errors import BrokerError, ConflictError, HooksealError
from tests.builders import MAX_BYTES, a_tenant
from tests.fakes import FakeClock, FakeEvents
from tests.unit.api.conftest import ADMIN_KEY, Api
from tests.unit.cli.asking import asking, client_of, refusal_of, something_else

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hookseal.domain.new_event import NewEvent
    from hookseal.domain.record import Position as Place

AWAY = BrokerError("publish_failed", "Kafka did not answer.")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with asking() as running:
        running.model.put("acme", a_tenant("acme"))
        yield running


@asynccontextmanager
async def publisher_of(url: str, clock: FakeClock | None = None) -> AsyncIterator[BatchPublisher]:
    async with client_of(url, clock or FakeClock()) as client, BatchPublisher(client) as publisher:
        yield publisher


def drafts(*data: object, customer_id: str = "acme", event_id: str | None = None) -> list[NewEvent]:
    reader = NewEventReader(MAX_BYTES, customer_id, "a.b")
    return [reader.draft(data=str(one).encode(), event_id=event_id) for one in data]


async def put(publisher: BatchPublisher, events: Sequence[NewEvent], first: int = 1) -> None:
    for number, draft in enumerate(events, first):
        await publisher.put(number, draft)


def data_of(events: Sequence[NewEvent]) -> list[str]:
    return [draft.value.partition(b'"data":')[2][:-1].decode() for draft in events]


class ForgetfulEvents(FakeEvents):
    """Writes the first batch, and does not say so."""

    async def publish_many(self, drafts: Sequence[NewEvent]) -> list[tuple[Place, ...]]:
        is_first = not self.published
        places = await super().publish_many(drafts)
        if is_first:
            raise AWAY
        return places


class TestBatches:
    async def test_keep_the_order_and_are_full(self, api: Api) -> None:
        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(*range(2500)))
            await publisher.drain()

        assert data_of(api.events.published) == [str(number) for number in range(2500)]
        assert len(api.idempotency_keys) == 3
        assert publisher.acknowledged == {1: 2500}
        assert publisher.last == Position(1, 2499)

    async def test_are_no_larger_than_the_api_takes(self, api: Api) -> None:
        large = '"' + "x" * 30_000 + '"'

        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(*[large] * 300))
            await publisher.drain()

        assert publisher.acknowledged == {1: 300}
        assert len(api.idempotency_keys) == 3

    async def test_do_not_wait_for_more_to_come(self, api: Api) -> None:
        came = asyncio.Event()

        async def note() -> None:
            came.set()

        api.events.before_publishing = note

        async with publisher_of(api.url) as publisher:
            await publisher.put(1, drafts(1)[0])
            async with asyncio.timeout(10):
                await came.wait()

    async def test_what_is_held_is_bounded(self, api: Api) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            await go_on.wait()

        api.events.before_publishing = wait

        async with publisher_of(api.url) as publisher:
            await publisher.put(1, drafts(1)[0])
            await begun.wait()
            await put(publisher, drafts(*range(1000)), 2)
            one_more = asyncio.create_task(publisher.put(1002, drafts(1)[0]))
            done, _ = await asyncio.wait([one_more], timeout=0)
            assert not done
            go_on.set()
            await one_more

        assert publisher.acknowledged == {1: 1002}

    async def test_one_whose_answer_was_lost_is_written_once(self) -> None:
        events, clock = ForgetfulEvents(), FakeClock()
        api = Api(events)
        api.model.put("acme", a_tenant("acme"))
        await api.start()

        async with publisher_of(api.url, clock) as publisher:
            await put(publisher, drafts(1, 2, 3))
            await publisher.drain()
        await api.close()

        assert clock.slept == [2.0]
        assert data_of(events.published) == ["1", "2", "3"]
        assert publisher.acknowledged == {1: 3}

    async def test_what_was_handed_over_is_published_although_reading_failed(
        self, api: Api
    ) -> None:
        async def publish() -> None:
            async with publisher_of(api.url) as publisher:
                await put(publisher, drafts(1, 2))
                raise ConflictError("a", "b")

        assert (await refusal_of(publish())).code == "a"
        assert data_of(api.events.published) == ["1", "2"]

    async def test_whoever_interrupts_does_not_wait(self, api: Api) -> None:
        begun = asyncio.Event()

        async def never() -> None:
            begun.set()
            await asyncio.Event().wait()

        api.events.before_publishing = never

        async def publish() -> None:
            async with publisher_of(api.url) as publisher:
                await put(publisher, drafts(1))
                await publisher.drain()

        publishing = asyncio.create_task(publish())
        await begun.wait()
        publishing.cancel()

        async with asyncio.timeout(10):
            await asyncio.wait([publishing])
        assert publishing.cancelled()


class TestBroadcasts:
    async def test_count_on_each_partition(self, api: Api) -> None:
        reader = NewEventReader(MAX_BYTES, None, "a.b", "every")
        events = [reader.draft(data=b"%d" % number) for number in range(50)]

        async with publisher_of(api.url) as publisher:
            await put(publisher, events)
            await publisher.drain()

        assert all(draft.is_broadcast for draft in api.events.published)
        assert publisher.acknowledged == {0: 50, 1: 50, 2: 50}
        assert publisher.last is None
        assert len(api.idempotency_keys) == 3


class TestErrors:
    async def test_name_the_line_and_those_before_it_are_published(self, api: Api) -> None:
        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(1, 2), 5)
            await put(publisher, drafts(3, customer_id="nobody"), 8)
            await put(publisher, drafts(4), 9)
            error = await refusal_of(publisher.drain())

        assert str(error).startswith("unknown_tenant (line 8, customer_id): ")
        assert isinstance(error, ConflictError)
        assert data_of(api.events.published) == ["1", "2"]
        assert publisher.acknowledged == {1: 2}

    async def test_what_was_written_before_a_refusal_is_not_written_again(self) -> None:
        events, clock = ForgetfulEvents(), FakeClock()
        api = Api(events)
        api.model.put("acme", a_tenant("acme"))
        api.model.put("b", a_tenant("b"))
        await api.start()

        async def forget(seconds: float) -> None:
            # Between the attempt whose end nobody knows and the next one.
            await clock.sleep(seconds)
            api.model.put("b", None)

        client = ApiClient(api.url, ADMIN_KEY, timeout_s=60, monotonic=clock.now, sleep=forget)
        async with client, BatchPublisher(client) as publisher:
            await put(publisher, [*drafts(1, 2), *drafts(3, customer_id="b")])
            error = await refusal_of(publisher.drain())
        await api.close()

        assert str(error).startswith("unknown_tenant (line 3, customer_id): ")
        assert data_of(events.published) == ["1", "2", "3"]
        assert publisher.acknowledged == {1: 2}

    async def test_the_first_of_several_is_named(self, api: Api) -> None:
        # Sizes are looked at before customers: the line that is named first is the later one.
        too_large = '"' + "x" * 32_600 + '"'
        reader = NewEventReader(2 * MAX_BYTES, "acme", "a.b")

        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(1))
            await put(publisher, drafts(2, customer_id="nobody"), 2)
            await publisher.put(3, reader.draft(data=too_large.encode() + b" " * 200))
            error = await refusal_of(publisher.drain())

        assert str(error).startswith("unknown_tenant (line 2, customer_id): ")
        assert data_of(api.events.published) == ["1"]

    async def test_an_id_that_stands_for_another_event_is_named(self, api: Api) -> None:
        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(1, event_id="evt_1"))
            await publisher.drain()
        async with publisher_of(api.url) as again:
            await put(again, drafts(3, event_id="evt_1"), 7)
            error = await refusal_of(again.drain())

        assert str(error).startswith("event_id_reused (line 7, id): ")

    async def test_what_is_about_the_whole_batch_names_its_lines(self, api: Api) -> None:
        api.events.failing = AWAY

        async with publisher_of(api.url) as publisher:
            await put(publisher, drafts(1, 2, 3), 11)
            error = await refusal_of(publisher.drain())
            again = await refusal_of(publisher.put(14, drafts(4)[0]))

        assert (type(error), error.code, error.field) == (
            BrokerError,
            "publish_failed",
            "lines 11 to 13",
        )
        assert again is error
        assert publisher.acknowledged == {}

    @pytest.mark.parametrize(
        "items",
        [None, [], [1], [{"partition": 1}], [{"partition": None, "partitions": "6"}], [{}, {}]],
    )
    async def test_places_that_are_none_are_not_counted(self, items: object) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.json_response({"items": items})

        async with something_else(handler) as url, publisher_of(url) as publisher:
            await put(publisher, drafts(1))
            error: HooksealError = await refusal_of(publisher.drain())

        assert error.code == "api_unexpected"
        assert publisher.acknowledged == {}


async def test_the_data_of_one_event_keep_their_bytes(api: Api) -> None:
    data = '{"big": 18446744073709551617,\n  "a":1}'

    async with publisher_of(api.url) as publisher:
        await publisher.put_alone(drafts(data)[0])

    assert data_of(api.events.published) == [data]
    assert publisher.last == Position(1, 0)
