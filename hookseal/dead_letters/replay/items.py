"""Turns dead letters and events into the records that a replay publishes."""

from __future__ import annotations

from collections import UserList
from typing import TYPE_CHECKING

from hookseal.dead_letters.replay.lease import Item
from hookseal.domain.dead_letter import added_headers
from hookseal.domain.event import REPLAY_HEADER, event_id_if_any, is_broadcast, parse_event
from hookseal.domain.record import last_header
from hookseal.domain.replay import Mark, replayed_headers
from hookseal.errors import InvalidEventError
from hookseal.kafka.consumer import record_from

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from hookseal.dead_letters.replay.replayer import EventsWanted
    from hookseal.domain.record import Record

_BATCH_BYTES = 4 * 1024 * 1024


class Items(UserList[Item]):
    """Records to publish, in order."""

    def batches(self) -> Iterator[Sequence[Item]]:
        """Yield batches of a few MB at most; each batch is one transaction."""
        batch: list[Item] = []
        size = 0
        for item in self.data:
            if batch and size + len(item.value) > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(item)
            size += len(item.value)
        if batch:
            yield batch


def letter_items(records: Iterable[Record], expected: Mapping[int, int]) -> Items:
    """Return the replays of dead letters.

    Args:
        records: Of one partition of `dead-letters`.
        expected: Their timestamps by offset: a record of another time is of another topic.
    """
    items = Items()
    for record in records:
        if expected.get(record.offset) != record.timestamp_ms or not record.key:
            continue
        added = added_headers(record.headers)
        headers = replayed_headers(
            record.headers,
            Mark(record.topic, record.partition, record.offset, record.timestamp_ms),
            event_id=added.get("event-id") or event_id_if_any(record),
            endpoint_id=added.get("endpoint-id") or None,
            timestamp=added.get("event-timestamp"),
        )
        items.append(
            Item(record.offset, record.timestamp_ms, record.key, record.value or b"", headers)
        )
    return items


def event_items(records: Sequence[ConsumerRecord], wanted: EventsWanted, max_bytes: int) -> Items:
    """Return the replays of those events that the endpoint subscribes to."""
    items = Items()
    key = wanted.customer_id.encode()
    for found in records:
        record = record_from(found)
        is_old = record.timestamp_ms < wanted.since_ms
        is_late = wanted.until_ms is not None and record.timestamp_ms >= wanted.until_ms
        if is_old or is_late or last_header(record.headers, REPLAY_HEADER) is not None:
            continue
        if record.key != key and not is_broadcast(record):
            continue
        try:
            event = parse_event(record, max_bytes=max_bytes)
        except InvalidEventError:
            continue
        if not wanted.wants(event.type):
            continue
        headers = replayed_headers(
            record.headers,
            Mark(record.topic, record.partition, record.offset, record.timestamp_ms, wanted.job),
            event_id=event.id,
            endpoint_id=wanted.endpoint_id,
            timestamp=event.timestamp,
        )
        items.append(Item(record.offset, record.timestamp_ms, key, record.value or b"", headers))
    return items
