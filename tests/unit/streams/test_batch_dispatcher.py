from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from mode.utils.queues import FlowControlEvent

from hookseal.domain.record import Record
from streams.fast_path.batch_dispatcher import BatchDispatcher
from streams.fast_path.partition_queue import PartitionQueue
from streams.faust_patches.table_recovery import ChangelogDispatcher

EVENTS, OTHER, CHANGELOG = TP("events", 0), TP("other", 0), TP("tenants-changelog", 0)


class Channel:
    """A channel, as far as the conductor's index is concerned."""

    def __init__(self, queue: PartitionQueue, *active_partitions: TP) -> None:
        self.queue = queue
        self.active_partitions = set(active_partitions) or None


class Worker:
    """What stands around a fetch: inboxes for both partitions of `events`, and a table."""

    def __init__(self) -> None:
        self.inboxes = [PartitionQueue(10, flow_control=FlowControlEvent()) for _ in range(2)]
        self.applied: list[tuple[TP, list[Any]]] = []
        self.stopped_fetching: list[TP] = []
        self.taken = {EVENTS, TP("events", 1), CHANGELOG}
        index = {
            tp: {Channel(queue, tp)}
            for partition, queue in enumerate(self.inboxes)
            for tp in [TP("events", partition)]
        } | {OTHER: {Channel(PartitionQueue(10, flow_control=FlowControlEvent()))}}
        self.app = SimpleNamespace(
            tables=SimpleNamespace(
                changelog_topics={CHANGELOG.topic},
                recovery=SimpleNamespace(apply=lambda tp, found: self.applied.append((tp, found))),
            ),
            topics=SimpleNamespace(_tp_index=index),
            consumer_generation_id=4,
        )
        consumer: Any = self
        self.hand_over = BatchDispatcher(
            consumer, ChangelogDispatcher(consumer, cast("Any", DefaultSchedulingStrategy)())
        )

    def is_fetching(self, tp: TP) -> bool:
        return tp in self.taken

    def on_buffer_full(self, tp: TP) -> None:
        self.stopped_fetching.append(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        self.stopped_fetching.remove(tp)

    def held(self, partition: int = 0) -> list[Any]:
        return [*self.inboxes[partition]._queue]  # type: ignore[attr-defined]


def fetched(offset: int, tp: TP = EVENTS, headers: tuple[Any, ...] = ()) -> Any:
    return ConsumerRecord(
        tp.topic, tp.partition, offset, 1_700_000_000_123, 0, b"acme", b"{}", None, 4, 2, headers
    )


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_each_goes_where_it_belongs(worker: Worker) -> None:
    change, event, other = fetched(0, CHANGELOG), fetched(7), fetched(3, OTHER)

    left = list(
        worker.hand_over.iterate({CHANGELOG: [change], EVENTS: [event, fetched(8)], OTHER: [other]})
    )

    assert left == [(OTHER, other)]
    assert worker.applied == [(CHANGELOG, [change])]
    assert [arrival.record.offset for arrival in worker.held()] == [7, 8]
    assert worker.held(1) == []


def test_a_record_is_what_stood_on_the_log(worker: Worker) -> None:
    headers = (("a", b"1"), ("a", b"2"))

    list(worker.hand_over.iterate({EVENTS: [fetched(7, headers=headers)]}))

    (arrival,) = worker.held()
    assert (arrival.generation_id, arrival.tp) == (4, EVENTS)
    assert arrival.record == Record("events", 0, 7, b"acme", b"{}", headers, 1_700_000_000_123)


def test_what_is_not_read_at_the_moment_is_passed_over(worker: Worker) -> None:
    worker.taken.remove(EVENTS)

    left = list(worker.hand_over.iterate({EVENTS: [fetched(7)]}))

    assert (left, worker.held()) == ([], [])


def test_a_partition_whose_inbox_is_full_is_fetched_no_more(worker: Worker) -> None:
    # As aiokafka has them: a partition that is no TP to Faust ends the worker.
    list(worker.hand_over.iterate({TopicPartition(*EVENTS): [fetched(n) for n in range(9)]}))
    first = list(worker.stopped_fetching)
    list(worker.hand_over.iterate({TopicPartition(*EVENTS): [fetched(9)]}))

    assert first == worker.stopped_fetching == [EVENTS]
    assert type(worker.stopped_fetching[0]) is type(worker.held()[0].tp) is TP


async def test_and_again_when_it_has_room(worker: Worker) -> None:
    list(worker.hand_over.iterate({EVENTS: [fetched(offset) for offset in range(9)]}))
    for _ in range(9):
        await worker.inboxes[0].next()

    assert worker.stopped_fetching == []
