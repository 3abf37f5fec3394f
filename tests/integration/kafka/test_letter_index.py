"""The index of dead letters on a real broker: complete, filtered, and never of another topic."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from hookseal.dead_letters.index import AttemptIndex, LetterIndex
from hookseal.domain.attempt import AttemptRecord, encode
from hookseal.domain.dead_letter import DeadLetter
from hookseal.domain.letter_filter import AttemptFilter, LetterFilter
from hookseal.errors import BrokerError
from hookseal.kafka import topics
from hookseal.kafka.producer import Producer
from tests.builders import a_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hookseal.config import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

PARTITIONS = 2
ACME = AttemptFilter("acme")


class Letters:
    """Writes dead letters as workers do."""

    def __init__(self, settings: Settings, producer: Producer) -> None:
        self._topic = settings.names.dead_letters
        self.producer = producer

    async def write(self, number: int, **what: Any) -> None:
        fields: dict[str, Any] = {
            "customer": "acme",
            "reason": "attempts_exhausted",
            "type": "order.paid",
            "endpoint": "ep_1",
            "status": 503,
            "partition": number % PARTITIONS,
            **what,
        }
        record = a_record(
            {"type": fields["type"], "id": f"evt_{number}", "data": number},
            key=fields["customer"].encode(),
            partition=fields["partition"],
            offset=number,
        )
        letter = DeadLetter(
            record=record,
            reason=fields["reason"],
            error="It failed.",
            event_id=f"evt_{number}",
            failed_at=1_700_000_000.0 + number,
            key=record.key,
            endpoint_id=fields["endpoint"],
            attempts=5,
            status=fields["status"],
        )
        await self.producer.publish(
            self._topic,
            key=letter.key,
            value=record.value,
            headers=letter.headers(),
            partition=record.partition,
        )


@pytest.fixture
async def letters(settings: Settings) -> AsyncIterator[Letters]:
    await topics.create(settings.cluster, partitions=PARTITIONS)
    async with Producer(settings.cluster) as producer:
        yield Letters(settings, producer)


@asynccontextmanager
async def an_index(settings: Settings, folder: Path) -> AsyncIterator[LetterIndex]:
    index = LetterIndex(settings.cluster, folder)
    await index.start()
    try:
        await index.catch_up(timeout_s=30)
        yield index
    finally:
        await index.close()


async def ids(index: LetterIndex, **wanted: Any) -> list[str | None]:
    page = await index.page(LetterFilter(**wanted), order="oldest", limit=100)
    return [letter.event_id for letter in page.letters]


async def test_it_finds_what_is_asked_for(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    await letters.write(0)
    await letters.write(1, customer="other")
    await letters.write(2, reason="endpoint_disabled", status=None)
    await letters.write(3, endpoint="ep_2")
    await letters.write(4, type="order.void")
    await letters.write(5, status=404)

    async with an_index(settings, tmp_path) as index:
        assert await ids(index) == [f"evt_{number}" for number in range(6)]
        assert await ids(index, customer_id="other") == ["evt_1"]
        assert await ids(index, customer_id="nobody") == []
        assert await ids(index, reasons=frozenset({"endpoint_disabled"})) == ["evt_2"]
        assert await ids(index, endpoint_id="ep_2") == ["evt_3"]
        assert await ids(index, event_type="order.void") == ["evt_4"]
        assert await ids(index, status=404) == ["evt_5"]
        assert await ids(index, event_id="evt_3", customer_id="acme") == ["evt_3"]
        assert await ids(index, event_id="evt_3", customer_id="other") == []
        assert await index.customers_of("evt_1") == ["other"]
        assert await index.customers_of("evt_9") == []
        assert await index.reasons(LetterFilter(customer_id="acme")) == {
            "attempts_exhausted": 4,
            "endpoint_disabled": 1,
        }
        moments = {"since_ms": 1_700_000_002_000, "until_ms": 1_700_000_004_000}
        assert await ids(index, **moments) == ["evt_2", "evt_3"]
        assert await ids(index, places=((1, 0), (0, 99))) == ["evt_1"]
        assert await index.counts(LetterFilter(customer_id="acme")) == {0: 3, 1: 2}


async def test_pages_follow_one_another_without_a_gap_or_a_repeat(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    for number in range(7):
        await letters.write(number)

    async with an_index(settings, tmp_path) as index:
        for order in ("newest", "oldest"):
            found, cursor = [], None
            while True:
                page = await index.page(LetterFilter(), order=order, limit=3, cursor=cursor)
                found += [letter.event_id for letter in page.letters]
                cursor = page.next_cursor
                if cursor is None:
                    break
            expected = [f"evt_{number}" for number in range(7)]
            assert found == (expected if order == "oldest" else expected[::-1])


async def test_it_goes_on_where_it_was_and_follows_what_comes(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    await letters.write(0)
    async with an_index(settings, tmp_path) as index:
        await letters.write(1)
        await index.catch_up(timeout_s=30)
        assert await ids(index) == ["evt_0", "evt_1"]
    await letters.write(2)

    async with an_index(settings, tmp_path) as index:
        assert await ids(index) == ["evt_0", "evt_1", "evt_2"]


async def test_several_share_one_file(settings: Settings, letters: Letters, tmp_path: Path) -> None:
    async with an_index(settings, tmp_path) as first, an_index(settings, tmp_path) as second:
        for number in range(20):
            await letters.write(number)
        await asyncio.gather(first.catch_up(timeout_s=30), second.catch_up(timeout_s=30))

        assert await ids(first) == await ids(second) == [f"evt_{number}" for number in range(20)]


async def test_a_file_that_is_none_is_made_anew(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    await letters.write(0)
    async with an_index(settings, tmp_path):
        pass
    spoil(tmp_path)

    async with an_index(settings, tmp_path) as index:
        assert await ids(index) == ["evt_0"]


@pytest.mark.apache
async def test_a_topic_that_is_made_anew_has_none_of_the_old_letters(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    for number in range(4):
        await letters.write(number)
    async with an_index(settings, tmp_path) as index:
        assert len(await ids(index)) == 4
    await make_anew(settings)
    # More than there were: offsets alone do not tell.
    for number in range(10, 20):
        await letters.write(number)

    async with an_index(settings, tmp_path) as index:
        assert await ids(index) == [f"evt_{number}" for number in range(10, 20)]


@pytest.mark.apache
async def test_letters_that_retention_took_are_gone(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    for number in range(6):
        await letters.write(number)
    async with an_index(settings, tmp_path) as index:
        assert len(await ids(index)) == 6
    place = TopicPartition(settings.names.dead_letters, 0)
    admin = AIOKafkaAdminClient(**settings.cluster.arguments())
    await admin.start()
    await admin.delete_records({place: RecordsToDelete(before_offset=2)})
    await admin.close()

    async with an_index(settings, tmp_path) as index:
        assert await ids(index) == ["evt_1", "evt_3", "evt_4", "evt_5"]


async def test_it_says_so_where_no_broker_answers(settings: Settings, tmp_path: Path) -> None:
    index = LetterIndex(replace(settings.cluster, bootstrap="127.0.0.1:1"), tmp_path)

    with pytest.raises(BrokerError) as raised:
        await index.start()

    assert raised.value.code == "broker_unreachable"
    await index.close()


def spoil(folder: Path) -> None:
    (file,) = folder.glob("*.sqlite")
    file.write_bytes(b"not a database, whatever it is called" * 100)


async def test_the_delivery_log_s_index_holds_the_latest_and_no_more(
    settings: Settings, letters: Letters, tmp_path: Path
) -> None:
    for number in range(40):
        await write_attempt(settings, letters, number)

    async with an_attempt_index(settings, tmp_path / "cold", rows_max=20) as index:
        page = await index.page(ACME, limit=100)
        assert [one.event_id for one in page.attempts] == [f"evt_{n}" for n in range(39, 19, -1)]
        first = await index.page(ACME, limit=15)
        rest = await index.page(ACME, limit=15, cursor=first.next_cursor)
        assert [*first.attempts, *rest.attempts] == page.attempts
        assert [
            one.attempt
            for one in (await index.page(AttemptFilter("acme", event_id="evt_30"), limit=9))[0]
        ] == [1]
        assert (await index.page(AttemptFilter("acme", endpoint_id="ep_2"), limit=9)).attempts == []
        assert (await index.page(AttemptFilter("other"), limit=9)).attempts == []
        (one,) = (await index.page(AttemptFilter(event_id="evt_30"), limit=9)).attempts
        assert (one.partition, one.event_offset) == (0, 30)
        assert await index.customers_of("evt_30") == ["acme"]
        assert await index.customers_of("evt_19") == []

    async with an_attempt_index(settings, tmp_path / "warm", rows_max=1000) as index:
        assert len((await index.page(ACME, limit=100)).attempts) == 40
    async with an_attempt_index(settings, tmp_path / "warm", rows_max=20) as index:
        assert len((await index.page(ACME, limit=100)).attempts) == 20


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"customer_id": "other"}, [3]),
        ({"event_type": "order.made"}, [1]),
        ({"code": "timeout"}, [2, 1]),
        ({"status": 200}, [3, 0]),
        ({"since_ms": 1_700_000_001_000}, [3, 2, 1]),
        ({"until_ms": 1_700_000_001_000}, [0]),
        ({"code": "timeout", "event_type": "order.paid"}, [2]),
        ({"code": "of nobody"}, []),
    ],
)
async def test_attempts_are_filtered_and_paged(
    settings: Settings,
    letters: Letters,
    tmp_path: Path,
    wanted: dict[str, Any],
    found: list[int],
) -> None:
    failed = {"code": "timeout", "status": None}
    await write_attempt(settings, letters, 0)
    await write_attempt(settings, letters, 1, event_type="order.made", **failed)
    await write_attempt(settings, letters, 2, **failed)
    await write_attempt(settings, letters, 3, customer_id="other")

    async with an_attempt_index(settings, tmp_path, rows_max=20) as index:
        read, cursor = [], None
        while True:
            page = await index.page(AttemptFilter(**wanted), limit=1, cursor=cursor)
            read += [one.event_id for one in page.attempts]
            if (cursor := page.next_cursor) is None:
                break

    assert read == [f"evt_{number}" for number in found]


@asynccontextmanager
async def an_attempt_index(
    settings: Settings, folder: Path, *, rows_max: int
) -> AsyncIterator[AttemptIndex]:
    index = AttemptIndex(settings.cluster, folder, rows_max=rows_max)
    await index.start()
    try:
        await index.catch_up(timeout_s=30)
        yield index
    finally:
        await index.close()


async def write_attempt(settings: Settings, letters: Letters, number: int, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "at": 1_700_000_000.0 + number,
        "customer_id": "acme",
        "event_id": f"evt_{number}",
        "event_type": "order.paid",
        "endpoint_id": "ep_1",
        "attempt": 1,
        "attempt_max": 5,
        "code": "accepted",
        "status": 200,
        "duration_s": 0.01,
        "kid": "key-1",
        "partition": number % PARTITIONS,
        "offset": number,
        "worker": "host:1",
    }
    record = AttemptRecord(**(fields | changes))
    await letters.producer.publish(
        settings.names.deliveries,
        key=b"acme",
        value=encode(record),
        partition=number % PARTITIONS,
    )


async def make_anew(settings: Settings, partitions: int = PARTITIONS) -> None:
    admin = AIOKafkaAdminClient(**settings.cluster.arguments())
    await admin.start()
    await admin.delete_topics([settings.names.dead_letters])
    while settings.names.dead_letters in await admin.list_topics():
        pass
    await admin.close()
    await topics.create(settings.cluster, partitions=partitions)
