"""Reads one dead letter and the attempts before it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from hookseal.domain.attempt import AttemptRecord, decode
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import read_from, read_ranges, record_from, records_at
from hookseal.kafka.topics import TopicNames, partition_count

if TYPE_CHECKING:
    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

# Clocks of workers and brokers differ, and workers write the log with a delay.
_MARGIN_MS = 10_000


class DeadLetterLookup:
    """Dead letters by partition and offset, read from their topic on request."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._names = TopicNames(cluster.topic_prefix)

    async def get(self, partition: int, offset: int) -> Record | None:
        """Return the dead letter at this offset, or None.

        Raises:
            BrokerError: `broker_unreachable`.
            ConfigurationError: As `topics.partition_count`.
        """
        if partition >= await partition_count(self._cluster):
            return None
        tp = TopicPartition(self._names.dead_letters, partition)
        async with read_from(self._cluster) as consumer:
            found = await records_at(consumer, tp, [offset])
        return record_from(found[0]) if found else None

    async def attempts(self, letter: Record) -> list[AttemptRecord]:
        """Return the attempts before a letter that the delivery log still has.

        Reads only the same partition of `deliveries`, and only the time of the delivery.
        """
        began, ended = _attempted_between(added_headers(letter.headers))
        if began is None or ended is None:
            return []
        tp = TopicPartition(self._names.deliveries, letter.partition)
        found: list[AttemptRecord] = []
        async with read_from(self._cluster) as consumer:
            first = (await consumer.offsets_for_times({tp: began - _MARGIN_MS}))[tp]
            if first is None:
                return []
            last = (await consumer.offsets_for_times({tp: ended + _MARGIN_MS}))[tp]
            end = (await consumer.end_offsets([tp]))[tp] if last is None else last.offset
            async for record in read_ranges(consumer, {tp: (first.offset, end)}):
                attempt = decode(record.value or b"")
                if attempt is not None and is_attempt_before(attempt, letter):
                    found.append(attempt)
        return found


def is_attempt_before(attempt: AttemptRecord, letter: Record) -> bool:
    """Return whether this attempt led to the dead letter."""
    added = added_headers(letter.headers)
    began, ended = _attempted_between(added)
    if began is None or ended is None:
        return False
    return (attempt.event_id, attempt.endpoint_id) == (
        added.get("event-id"),
        added.get("endpoint-id"),
    ) and began - 1 <= attempt.at * 1000 <= ended + _MARGIN_MS


def _attempted_between(added: dict[str, str]) -> tuple[int | None, int | None]:
    return _milliseconds(added.get("first-attempt-at")), _milliseconds(added.get("failed-at"))


def _milliseconds(text: str | None) -> int | None:
    try:
        return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
