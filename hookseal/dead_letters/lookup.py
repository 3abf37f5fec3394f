"""Reads one dead letter and the attempts before it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hookseal.domain.attempt import AttemptRecord, decode
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import consume, read_ranges, record_from, records_at
from hookseal.kafka.topics import TopicNames, partition_count

if TYPE_CHECKING:
    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

# The clocks of workers and brokers differ, and the log is written a moment later.
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
            ConfigurationError: As `topics.check`.
        """
        if partition >= await partition_count(self._cluster):
            return None
        place = TopicPartition(self._names.dead_letters, partition)
        try:
            async with consume(self._cluster) as consumer:
                for record in await records_at(consumer, place, [offset]):
                    return record_from(record)
        except KafkaError as error:
            raise self._cluster.unreachable() from error
        return None

    async def attempts(self, letter: Record) -> list[AttemptRecord]:
        """Return the attempts before a letter, as far as the delivery log has them.

        Reads only the letter's partition of `deliveries`, and only the time that the letter names.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        began, ended = _attempted_between(added_headers(letter.headers))
        if began is None or ended is None:
            return []
        place = TopicPartition(self._names.deliveries, letter.partition)
        found: list[AttemptRecord] = []
        try:
            async with consume(self._cluster) as consumer:
                first = (await consumer.offsets_for_times({place: began - _MARGIN_MS}))[place]
                if first is None:
                    return []
                last = (await consumer.offsets_for_times({place: ended + _MARGIN_MS}))[place]
                end = (await consumer.end_offsets([place]))[place] if last is None else last.offset
                async for record in read_ranges(consumer, {place: (first.offset, end)}):
                    attempt = decode(record.value or b"")
                    if attempt is not None and is_attempt_before(attempt, letter):
                        found.append(attempt)
        except KafkaError as error:
            raise self._cluster.unreachable() from error
        return found


def is_attempt_before(attempt: AttemptRecord, letter: Record) -> bool:
    """Return whether this attempt is one of those that led to the letter."""
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
