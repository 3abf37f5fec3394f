"""One dead letter: its record, and the attempts before it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hookseal.dead_letters.index.letters import unknown_dead_letter
from hookseal.domain.attempt_record import AttemptRecord, decode
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import consume, read_ranges, record_from, records_at
from hookseal.kafka.topics import TopicNames, partition_count

if TYPE_CHECKING:
    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

# The clocks of workers and brokers differ, and the log is written a moment later.
_MARGIN_MS = 10_000


async def letter_at(cluster: Cluster, partition: int, offset: int) -> Record:
    """Return the dead letter at this position.

    Raises:
        BrokerError: `broker_unreachable`.
        ConfigurationError: As `topics.check`.
        InvalidInputError: `unknown_dead_letter`.
    """
    if partition < await partition_count(cluster):
        place = TopicPartition(TopicNames(cluster.topic_prefix).dead_letters, partition)
        try:
            async with consume(cluster) as consumer:
                for record in await records_at(consumer, place, [offset]):
                    return record_from(record)
        except KafkaError as error:
            raise cluster.unreachable() from error
    raise unknown_dead_letter(partition, offset)


async def attempts_of(cluster: Cluster, letter: Record) -> list[AttemptRecord]:
    """Return the attempts that led to a letter, as far as the delivery log has them.

    Reads only the letter's partition of `deliveries`, and only the time that the letter names.

    Raises:
        BrokerError: `broker_unreachable`.
    """
    added = added_headers(letter.headers)
    began, ended = (_milliseconds(added.get(name)) for name in ("first-attempt-at", "failed-at"))
    if began is None or ended is None:
        return []
    place = TopicPartition(TopicNames(cluster.topic_prefix).deliveries, letter.partition)
    found: list[AttemptRecord] = []
    try:
        async with consume(cluster) as consumer:
            first = (await consumer.offsets_for_times({place: began - _MARGIN_MS}))[place]
            if first is None:
                return []
            last = (await consumer.offsets_for_times({place: ended + _MARGIN_MS}))[place]
            end = (await consumer.end_offsets([place]))[place] if last is None else last.offset
            async for record in read_ranges(consumer, {place: (first.offset, end)}):
                attempt = decode(record.value or b"")
                if attempt is not None and _is_of(attempt, added, began, ended):
                    found.append(attempt)
    except KafkaError as error:
        raise cluster.unreachable() from error
    return found


def _is_of(attempt: AttemptRecord, added: dict[str, str], began: int, ended: int) -> bool:
    at_ms = attempt.at * 1000
    return (attempt.event_id, attempt.endpoint_id) == (
        added.get("event-id"),
        added.get("endpoint-id"),
    ) and began - 1 <= at_ms <= ended + _MARGIN_MS


def _milliseconds(text: str | None) -> int | None:
    try:
        return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
