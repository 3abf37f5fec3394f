"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from hookseal.delivery.ports import Clock
from hookseal.domain.dead_letter import DeadLetter, added_headers
from hookseal.domain.record import Position
from hookseal.errors import BrokerError, EventIdReusedError
from hookseal.local.letters import LocalDeadLetters
from hookseal.local.store import Write
from tests.builders import a_record
from tests.fakes import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.local.store import Log
    from tests.integration.local.conftest import OpenStore

HEADERS = (("a", b"\x00\xff"), ("a", b""), ("b", b"2"))


def write(partition: int = 0, value: bytes | None = b"v", **more: object) -> Write:
    return Write(partition, b"acme", value, **more)  # type: ignore[arg-type]


class TestEvents:
    async def test_come_back_as_they_went_in(self, open_store: OpenStore) -> None:
        store = await open_store()
        written = [
            Write(0, b"\xff\x00", b"\x00\xfe", HEADERS, timestamp_ms=5),
            Write(0, None, None),
            Write(0, b"", b""),
        ]
        before_ms = int(time.time() * 1000)

        places = await store.publish(written, room=None)
        found = await store.events(0, -1, 10, wait_s=1)

        assert places == [Position(0, 0), Position(0, 1), Position(0, 2)]
        assert [(one.topic, one.partition, one.offset) for one in found] == [
            ("events", 0, 0),
            ("events", 0, 1),
            ("events", 0, 2),
        ]
        assert [(one.key, one.value, one.headers) for one in found] == [
            (one.key, one.value, one.headers) for one in written
        ]
        assert found[0].timestamp_ms == 5
        assert found[1].timestamp_ms >= before_ms

    async def test_partitions_count_for_themselves(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.publish([write(0), write(1), write(0), write(1)], room=None)

        assert [one.offset for one in await store.events(1, -1, 10, wait_s=1)] == [0, 1]
        assert [one.offset for one in await store.events(1, 0, 10, wait_s=1)] == [1]
        assert len(await store.events(0, -1, 1, wait_s=1)) == 1

    async def test_that_are_finished_are_gone_and_their_offsets_are_not_used_again(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await store.publish([write() for _ in range(4)], room=None)
        await store.finish(0, [0, 2, 3])

        assert sum(await store.unfinished()) == 1
        assert [one.offset for one in await store.events(0, -1, 10, wait_s=1)] == [1]
        await store.finish(0, [1, 1, 0])
        assert await store.events(0, -1, 10, wait_s=0.01) == []
        assert await store.publish([write()], room=None) == [Position(0, 4)]

    async def test_that_are_awaited_are_there_at_once(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.publish([write()], room=None)
        waiting = asyncio.create_task(store.events(0, 0, 10, wait_s=30))
        await asyncio.sleep(0.05)

        await store.publish([write(0, b"next")], room=None)
        async with asyncio.timeout(1.5):
            found = await waiting

        assert [one.value for one in found] == [b"next"]

    async def test_of_a_batch_are_written_as_a_whole_or_not_at_all(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await store.publish([write() for _ in range(3)], room=4)

        with pytest.raises(BrokerError) as refused:
            await store.publish([write(0), write(1)], room=4)

        assert refused.value.code == "queue_full"
        assert sum(await store.unfinished()) == 3
        await store.finish(0, [0])
        await store.publish([write(0), write(1)], room=4)


class TestIds:
    async def test_a_repeat_is_told_its_first_place(self, open_store: OpenStore) -> None:
        store = await open_store()
        first = write(mark=b"m", fingerprint=b"f")

        places = await store.publish([first, write(), first], room=None)
        again = await (await open_store()).publish([first], room=0)

        assert places == [Position(0, 0), Position(0, 1), Position(0, 0)]
        assert again == [Position(0, 0)]
        assert sum(await store.unfinished()) == 2

    async def test_one_that_stands_for_another_event_is_refused(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()
        await store.publish([write(mark=b"m", fingerprint=b"f")], room=None)

        for batch in (
            [write(), write(mark=b"m", fingerprint=b"g")],
            [write(mark=b"n", fingerprint=b"f"), write(mark=b"n", fingerprint=b"g")],
        ):
            with pytest.raises(EventIdReusedError) as refused:
                await store.publish(batch, room=None)
            assert refused.value.index == 1
        assert sum(await store.unfinished()) == 1


class TestLogs:
    async def test_are_read_from_any_place(self, open_store: OpenStore) -> None:
        store = await open_store()
        assert await store.bounds("dead-letters", 0) == (0, 0)
        await store.append(
            "dead-letters", [write(0, b"%d" % one, headers=HEADERS) for one in range(5)]
        )

        assert await store.bounds("dead-letters", 0) == (0, 5)
        found = await store.read("dead-letters", 0, 3, 10)
        assert [(one.topic, one.offset, one.value) for one in found] == [
            ("dead-letters", 3, b"3"),
            ("dead-letters", 4, b"4"),
        ]
        assert found[0].headers == HEADERS
        assert len(await store.read("dead-letters", 0, 0, 2)) == 2
        assert await store.read("dead-letters", 1, 0, 10) == []

    async def test_keep_the_latest(self, open_store: OpenStore) -> None:
        store = await open_store()
        for one in range(30):
            await store.append("deliveries", [write(0, b"%d" % one)] * 100, keep=500)

        first, end = await store.bounds("deliveries", 0)
        assert end == 3000
        assert 2000 <= first <= 2500

    async def test_drop_what_is_old(self, open_store: OpenStore) -> None:
        store = await open_store()
        old = [write(timestamp_ms=100) for _ in range(700)]
        await store.append("dead-letters", [*old, write(timestamp_ms=300), write(timestamp_ms=100)])

        await store.drop_older("dead-letters", 0, 200)
        assert await store.bounds("dead-letters", 0) == (700, 702)
        await store.drop_older("dead-letters", 0, 400)
        assert await store.bounds("dead-letters", 0) == (702, 702)
        await store.append("dead-letters", [write()])
        assert await store.bounds("dead-letters", 0) == (702, 703)

    async def test_a_letter_is_replayed_once(self, open_store: OpenStore) -> None:
        store = await open_store()
        await store.append("dead-letters", [write() for _ in range(4)])
        await store.settle(0, [1], b"drained")

        letters = [(one, write(0, b"again-%d" % one)) for one in range(4)]
        counts = await asyncio.gather(
            *(store.replay(0, letters, b"entry") for store in [store, await open_store()])
        )

        assert sorted(counts) == [0, 3]
        found = await store.events(0, -1, 10, wait_s=1)
        assert [one.value for one in found] == [b"again-0", b"again-2", b"again-3"]
        ledger = await store.read("replays", 0, 0, 10)
        assert [one.value for one in ledger] == [b"drained", b"entry", b"entry"]


class TestTenants:
    async def test_a_document_takes_the_place_of_the_one_that_was_read(
        self, open_store: OpenStore
    ) -> None:
        store = await open_store()

        assert await store.change("acme", None, b"1", None) == 1
        assert await store.change("acme", None, b"2", None) is None
        assert await store.change("acme", b"0", b"2", None) is None
        assert await store.change("acme", b"1", b"2", write(1, b"notice")) == 2
        assert await store.document("acme") == b"2"
        assert await store.change("other", b"", b"1", None) is None
        assert await store.change("acme", b"2", None, None) == 3
        assert await store.document("acme") is None
        assert [one.value for one in await store.events(1, -1, 10, wait_s=1)] == [b"notice"]

    async def test_changes_are_told_to_everybody(self, open_store: OpenStore) -> None:
        store, other = await open_store(), await open_store()
        await store.change("a", None, b"1", None)
        everything = await other.documents()
        waiting = asyncio.create_task(other.changes(everything.version, wait_s=30))
        await asyncio.sleep(0.05)

        await store.change("b", None, b"1", None)
        async with asyncio.timeout(1.5):
            told = await waiting
        await store.change("a", b"1", None, None)

        assert everything == (1, {"a": b"1"}, True)
        assert told == (2, {"b": b"1"}, False)
        assert await other.changes(2, wait_s=0.01) == (3, {"a": None}, False)
        assert await other.changes(3, wait_s=0.01) == (3, {}, False)
        assert (await other.changes(0, wait_s=0.01)).version == 3


async def test_many_dead_letters_are_written_at_once(open_store: OpenStore) -> None:
    store = await open_store()
    observer = RecordingObserver()
    appended: list[int] = []
    append = store.append

    async def counted(log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        appended.append(len(writes))
        await append(log, writes, keep=keep)

    store.append = counted  # type: ignore[method-assign]
    letters = [
        DeadLetter(
            a_record(partition=1), "endpoint_suspended", "", f"evt_{number}", 1.0, key=b"acme"
        )
        for number in range(500)
    ]

    await LocalDeadLetters(store, observer, Clock()).bury_all(letters)

    found = await store.read("dead-letters", 1, 0, 1000)
    assert [added_headers(one.headers)["event-id"] for one in found] == observer.buried_ids
    assert observer.buried_ids == [letter.event_id for letter in letters]
    assert appended == [500]
