"""From what a fetch brought to who takes it, a partition's batch at a time.

Faust hands each record to a callback under a lock, waits beside it for a stop of the flow,
decodes key and value, and makes a message and an event of it: 12 % of a delivery. Where an
agent has one partition, records go as they are into its inbox, and a changelog's into its table.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from faust.types import TP

from hookseal.kafka.consumer import record_from
from streams.partition_queue import FetchedRecord, PartitionQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streams.consumer import OffsetTrackingConsumer

__all__ = ["BatchDispatcher"]


class BatchDispatcher:
    """A scheduler of what was fetched, that leaves Faust what it does not hand over itself.

    Faust asks as soon as a fetch came, with nothing that waits in between: what it checks
    before each record it hands over holds for all of them.
    """

    def __init__(self, consumer: OffsetTrackingConsumer, rest: Any) -> None:
        """Prepare.

        Args:
            consumer: Whose fetches they are.
            rest: Faust's scheduler.
        """
        self._consumer = consumer
        self._rest = rest
        # One pair for each partition: an inbox knows them again by what they are.
        self._pressure: dict[TP, tuple[Callable[[], None], Callable[[], None]]] = {}

    def iterate(self, records: Mapping[TP, Sequence[Any]]) -> Iterator[tuple[TP, Any]]:
        """Hand over; return what is left, to be handed over record by record."""
        tables: Any = self._consumer.app.tables
        rest = {}
        for place, found in records.items():
            # aiokafka's own are equal to Faust's, but Faust insists on its own.
            tp = TP(*place)
            if tp.topic in tables.changelog_topics:
                tables.recovery.take(tp, found)
            elif (queue := self._queue_of(tp)) is None:
                rest[tp] = found
            elif found and self._consumer.is_fetching(tp):
                self._fill(queue, tp, found)
        left: Iterator[tuple[TP, Any]] = self._rest.iterate(rest)
        return left

    def _queue_of(self, tp: TP) -> PartitionQueue | None:
        # The conductor's, which it makes anew with each assignment.
        topics: Any = self._consumer.app.topics
        channels = [*topics._tp_index.get(tp, ())]  # noqa: SLF001
        if len(channels) != 1 or channels[0].active_partitions is None:
            return None
        queue: PartitionQueue = channels[0].queue
        return queue

    def _fill(self, queue: PartitionQueue, tp: TP, found: Sequence[Any]) -> None:
        generation_id = self._consumer.app.consumer_generation_id
        when_full, again = self._pressure_on(tp)
        queue.put_batch(
            [FetchedRecord(generation_id, tp, record_from(one)) for one in found],
            when_full=when_full,
            again=again,
        )

    def _pressure_on(self, tp: TP) -> tuple[Callable[[], None], Callable[[], None]]:
        if tp not in self._pressure:
            self._pressure[tp] = (
                partial(self._consumer.on_buffer_full, tp),
                partial(self._consumer.on_buffer_drop, tp),
            )
        return self._pressure[tp]
