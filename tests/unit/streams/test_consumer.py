from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    OffsetMetadataTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from hookseal.delivery.ordering import offset_metadata
from streams.faust_patches import partition_errors
from tests.conditions import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.consumer import OffsetTrackingConsumer
    from streams.faust_app import HooksealApp

EVENTS = TP("events", 0)


@pytest.fixture
async def consumer(app: HooksealApp, monkeypatch: pytest.MonkeyPatch) -> OffsetTrackingConsumer:
    made = app.consumer
    monkeypatch.setattr(made, "assignment", lambda: {EVENTS})
    return made


class TestTheLastCommit:
    async def test_is_made_although_another_one_runs(
        self, consumer: OffsetTrackingConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker_answers = asyncio.Event()
        committed: list[dict[TP, int]] = []

        async def commit_tps(offsets: dict[TP, int], **_: Any) -> bool:
            committed.append(dict(offsets))
            await broker_answers.wait()
            return True

        monkeypatch.setattr(consumer, "_commit_offsets", commit_tps)
        consumer.mark_done_through(EVENTS, 5)
        periodic = asyncio.create_task(consumer.commit())
        await until(lambda: committed != [])
        consumer.mark_done_through(EVENTS, 6)
        consumer._stopped.set()
        last = asyncio.create_task(consumer.commit())
        await asyncio.sleep(0)
        broker_answers.set()
        await asyncio.gather(periodic, last)

        assert committed == [{EVENTS: 6}, {EVENTS: 7}]


class TestCommittable:
    async def test_is_what_the_lanes_finished_and_nothing_else(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer._acked[EVENTS].extend([5, 6, 7])

        assert list(consumer._filter_tps_with_pending_acks()) == []
        assert consumer._new_offset(EVENTS) is None
        consumer.mark_done_through(EVENTS, 5)
        assert list(consumer._filter_tps_with_pending_acks()) == [EVENTS]
        assert consumer._filter_committable_offsets([EVENTS]) == {EVENTS: 6}

    async def test_leaves_partitions_of_other_workers_alone(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.mark_done_through(TP("events", 1), 5)

        assert list(consumer._filter_tps_with_pending_acks()) == []

    async def test_waits_while_the_group_is_between_two_generations(
        self, consumer: OffsetTrackingConsumer, app: HooksealApp
    ) -> None:
        consumer.mark_done_through(EVENTS, 5)
        app.rebalancing = True

        assert await consumer.commit() is False

    async def test_never_goes_back(self, consumer: OffsetTrackingConsumer) -> None:
        consumer.mark_done_through(EVENTS, 9)
        consumer.mark_done_through(EVENTS, 3)

        assert consumer.low_watermark(EVENTS) == 10

    async def test_is_not_committed_twice(self, consumer: OffsetTrackingConsumer) -> None:
        consumer.mark_done_through(EVENTS, 5)
        consumer._committed_offset[EVENTS] = 6

        assert consumer._filter_committable_offsets([EVENTS]) == {}

    async def test_a_refused_commit_of_an_idle_partition_is_repeated(
        self, consumer: OffsetTrackingConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter([False, True])
        sent: list[dict[TP, int]] = []

        async def commit(_: Consumer, offsets: dict[TP, int]) -> bool:
            sent.append(dict(offsets))
            return next(answers)

        async def flush() -> None:
            """Nothing is pending."""

        monkeypatch.setattr(driver.Consumer, "_commit", commit)
        monkeypatch.setattr(consumer.app.producer, "flush", flush)
        consumer.mark_done_through(EVENTS, 5)

        assert not await consumer._commit_offsets(consumer._filter_committable_offsets([EVENTS]))
        assert await consumer._commit_offsets(consumer._filter_committable_offsets([EVENTS]))

        assert sent == [{EVENTS: 6}, {EVENTS: 6}]
        assert consumer._filter_committable_offsets([EVENTS]) == {}

    async def test_gaps_in_the_log_do_not_count_as_work(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        await consumer._add_gap(EVENTS, 10, 20)
        consumer.mark_done_through(EVENTS, 5)

        assert consumer._new_offset(EVENTS) == 6


class TestOffsetMetadata:
    async def test_a_commit_tells_what_is_finished_above_it(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.mark_done_through(EVENTS, 5)
        consumer.tracker(EVENTS).mark_done(8)

        assert consumer._filter_committable_offsets([EVENTS]) == {EVENTS: 6}
        sent = consumer._thread._with_metadata({EVENTS: OffsetAndMetadata(6, "")})

        assert sent[EVENTS].offset == 6
        assert offset_metadata.decode(sent[EVENTS].metadata, 6) == [(8, 9)]

    async def test_what_is_new_above_a_mark_that_stands_still_is_committed(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.mark_done_through(EVENTS, 5)
        consumer._committed_offset[EVENTS] = 6
        assert consumer._filter_committable_offsets([EVENTS]) == {}

        consumer.tracker(EVENTS).mark_done(8)

        assert consumer._filter_committable_offsets([EVENTS]) == {EVENTS: 6}

    async def test_even_where_nothing_was_committed_yet(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.tracker(EVENTS).mark_done(1)

        assert consumer._filter_committable_offsets([EVENTS]) == {EVENTS: 0}

    async def test_nothing_is_committed_before_it_is_known_what_was(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.mark_done_through(EVENTS, 5)
        assert list(consumer._filter_tps_with_pending_acks()) == [EVENTS]

        consumer._unknown.add(EVENTS)

        assert list(consumer._filter_tps_with_pending_acks()) == []

    async def test_a_broker_that_takes_no_such_note_gets_commits_without(
        self, consumer: OffsetTrackingConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[dict[TP, OffsetAndMetadata]] = []

        async def commit(_: AIOKafkaConsumer, offsets: dict[TP, OffsetAndMetadata]) -> None:
            if any(committed.metadata for committed in offsets.values()):
                raise OffsetMetadataTooLargeError
            taken.append(offsets)

        monkeypatch.setattr(AIOKafkaConsumer, "commit", commit)
        client = consumer._thread._create_worker_consumer(consumer.transport)
        # It never started: nothing is to be closed when it goes.
        client._closed = True
        consumer.tracker(EVENTS).mark_done(1)
        consumer._filter_committable_offsets([EVENTS])
        plain = {EVENTS: OffsetAndMetadata(0, "")}

        await client.commit(plain)
        await client.commit(plain)

        assert taken == [plain, plain]


class TestFinished:
    async def test_starts_from_what_an_earlier_owner_committed(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        assert consumer.low_watermark(EVENTS) == 0
        consumer._committed_offset[EVENTS] = 42

        assert consumer.low_watermark(EVENTS) == 42

    async def test_is_forgotten_when_the_topic_was_made_anew(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        consumer.mark_done_through(EVENTS, 99)

        consumer.reset_if_topic_recreated(EVENTS, 100)
        assert consumer.low_watermark(EVENTS) == 100
        consumer.reset_if_topic_recreated(EVENTS, 7)
        assert consumer.low_watermark(EVENTS) == 0


class TestStart:
    """Where a partition is read from, as it is assigned now."""

    @pytest.fixture
    async def sought(
        self, consumer: OffsetTrackingConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> list[tuple[TP, int]]:
        """Where the position was set; the log begins at 3, and what is committed is at hand."""
        places: list[tuple[TP, int]] = []

        async def seek_to_committed() -> dict[TP, int]:
            return {tp: offset for tp, offset in consumer._committed_offset.items() if offset}

        async def earliest_offsets(*tps: TP) -> dict[TP, int]:
            return dict.fromkeys(tps, 3)

        async def rewind(tp: TP, offset: int) -> None:
            places.append((tp, offset))

        for name, stand_in in (
            ("seek_to_committed", seek_to_committed),
            ("earliest_offsets", earliest_offsets),
            ("rewind", rewind),
        ):
            monkeypatch.setattr(consumer, name, stand_in)
        return places

    async def test_is_waited_for(
        self, consumer: OffsetTrackingConsumer, sought: list[tuple[TP, int]]
    ) -> None:
        consumer._committed_offset[EVENTS] = 42
        waiting = asyncio.create_task(consumer.wait_for_committed_offset(EVENTS))
        await asyncio.sleep(0)
        assert not waiting.done()

        await consumer.perform_seek()
        await waiting

        assert consumer.low_watermark(EVENTS) == 42
        assert sought == []

    async def test_is_the_start_of_the_log_where_nothing_is_committed(
        self, consumer: OffsetTrackingConsumer, sought: list[tuple[TP, int]]
    ) -> None:
        await consumer.perform_seek()
        await consumer.wait_for_committed_offset(EVENTS)

        assert consumer.low_watermark(EVENTS) == 3
        assert sought == [(EVENTS, 3)]

    async def test_is_asked_anew_with_each_assignment(
        self, consumer: OffsetTrackingConsumer, sought: list[tuple[TP, int]]
    ) -> None:
        await consumer.perform_seek()
        await consumer.on_partitions_revoked({EVENTS})
        waiting = asyncio.create_task(consumer.wait_for_committed_offset(EVENTS))
        await asyncio.sleep(0)
        assert not waiting.done()

        await consumer.perform_seek()
        await waiting

    async def test_is_not_waited_for_where_the_partition_went_elsewhere(
        self,
        consumer: OffsetTrackingConsumer,
        sought: list[tuple[TP, int]],
    ) -> None:
        waiting = asyncio.create_task(consumer.wait_for_committed_offset(TP("events", 5)))
        await asyncio.sleep(0)
        assert not waiting.done()

        await consumer.perform_seek()

        assert await waiting is False
        assert await consumer.wait_for_committed_offset(EVENTS) is True


class Fetcher:
    """Stands for Faust's service that drains the consumer."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()


class TestGoingBack:
    """The position goes back while a batch is handed over, from its first record on."""

    async def test_faust_drops_what_is_read_again(self, consumer: OffsetTrackingConsumer) -> None:
        consumer._read_offset = defaultdict(lambda: None)

        assert await handed_over(consumer) == [52, 53, 54, 54]

    async def test_ours_hands_it_over(self, consumer: OffsetTrackingConsumer) -> None:
        assert await handed_over(consumer) == [52, 53, 54, 52, 53, 54]


async def handed_over(consumer: OffsetTrackingConsumer) -> list[int]:
    """Return the offsets that are handed over of a batch that is fetched twice."""
    fetcher, found, batches = Fetcher(), list[int](), [[52, 53, 54]] * 2

    async def getmany(timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        if not batches:
            fetcher._stopped.set()
            return
        for offset in batches.pop():
            yield EVENTS, Message("events", 0, offset, 0.0, 0, {}, None, b"", b"", None)

    async def take(message: Message) -> None:
        if not found:
            consumer._read_offset[EVENTS] = 51
        found.append(message.offset)

    standing_in: Any = consumer
    standing_in.getmany = getmany
    standing_in.callback = take
    await standing_in._drain_messages(fetcher)
    return found


class Fetched:
    """aiokafka's client and its fetcher, after a fetch."""

    def __init__(self, **batches: list[int]) -> None:
        self.positions: dict[TP, int] = {}
        self.assigned = {TP(topic, 0) for topic in batches}
        self._batches = {
            TP(topic, 0): [SimpleNamespace(offset=offset) for offset in offsets]
            for topic, offsets in batches.items()
        }
        self._closed = False
        self._fetcher = self
        self._subscription = self
        self._subscriptions = SimpleNamespace(fetch_context=nullcontext)

    async def fetched_records(self, *_: Any, **__: Any) -> dict[TP, list[Any]]:
        return dict(self._batches)

    def is_assigned(self, tp: TP) -> bool:
        return tp in self.assigned

    def seek_to(self, tp: TP, offset: int) -> None:
        self.positions[tp] = offset


class TestFetch:
    CHANGELOG = TP("changelog", 0)

    async def fetch(
        self, consumer: OffsetTrackingConsumer, client: Fetched, meanwhile: Callable[[], None]
    ) -> set[TP]:
        fetched_records = client.fetched_records

        async def fetch_and_wait(*args: Any, **options: Any) -> dict[TP, list[Any]]:
            meanwhile()
            return await fetched_records(*args, **options)

        client.fetched_records = fetch_and_wait  # type: ignore[method-assign]
        consumer.resume_flow()
        consumer._active_partitions = {EVENTS, self.CHANGELOG}
        return set(await consumer._thread._fetch_records(client, {EVENTS}))

    async def test_is_handed_over(self, consumer: OffsetTrackingConsumer) -> None:
        client = Fetched(events=[5, 6], changelog=[1])

        assert await self.fetch(consumer, client, lambda: None) == {EVENTS, self.CHANGELOG}
        assert client.positions == {}

    async def test_is_put_back_if_the_flow_was_stopped_meanwhile(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        client = Fetched(events=[5, 6], changelog=[1])

        assert await self.fetch(consumer, client, consumer.stop_flow) == set()
        assert client.positions == {EVENTS: 5, self.CHANGELOG: 1}

    async def test_is_put_back_for_a_partition_that_nobody_reads_now(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        client = Fetched(events=[5, 6], changelog=[1])

        def pause() -> None:
            consumer.pause_partitions([self.CHANGELOG])
            # Its queue is full, which is no reason: what was fetched still fits.
            consumer.on_buffer_full(EVENTS)

        assert await self.fetch(consumer, client, pause) == {EVENTS}
        assert client.positions == {self.CHANGELOG: 1}

    async def test_is_dropped_for_a_partition_that_went(
        self, consumer: OffsetTrackingConsumer
    ) -> None:
        client = Fetched(events=[5, 6], changelog=[1])
        client.assigned = {self.CHANGELOG}

        assert await self.fetch(consumer, client, consumer.stop_flow) == set()
        assert client.positions == {self.CHANGELOG: 1}

    async def test_that_fails_for_one_partition_is_sent_again(
        self, consumer: OffsetTrackingConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = Fetched(events=[5, 6])
        errors = [RecordTooLargeError(), TopicAuthorizationFailedError()]

        def fail() -> None:
            if errors:
                raise errors.pop()

        monkeypatch.setattr(partition_errors, "_AFTER_FAILURE_S", 0)

        assert await self.fetch(consumer, client, fail) == set()
        assert await self.fetch(consumer, client, fail) == set()
        assert await self.fetch(consumer, client, fail) == {EVENTS}

    @pytest.mark.parametrize(("kind", "seeks"), [("Faust's", 1), ("ours", 0)])
    async def test_that_comes_in_a_rebalance_seeks_nothing(
        self,
        consumer: OffsetTrackingConsumer,
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
        seeks: int,
    ) -> None:
        sought: list[bool] = []

        async def perform_seek() -> None:
            sought.append(True)

        async def fetched(**_: Any) -> dict[TP, list[Any]]:
            consumer.stop_flow()
            return {}

        monkeypatch.setattr(consumer, "perform_seek", perform_seek)
        monkeypatch.setattr(consumer, "_getmany", fetched)
        if kind == "Faust's":
            theirs = partial(Consumer._wait_next_records, consumer)
            monkeypatch.setattr(consumer, "_wait_next_records", theirs)
        consumer._active_partitions = {EVENTS}
        consumer.resume_flow()

        assert [message async for message in consumer.getmany(timeout=1.0)] == []
        assert len(sought) == seeks
