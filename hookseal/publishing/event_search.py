"""Finds an event on `events`: a bounded search of the customer's partition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.event import (
    REPLAY_HEADER,
    derived_id,
    event_id_if_any,
    is_broadcast,
    parse_event,
)
from hookseal.domain.event_trace import FoundEvent, Search
from hookseal.domain.record import last_header
from hookseal.errors import InvalidEventError
from hookseal.kafka.consumer import read_from, read_ranges, record_from, topic_partitions
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster

# Over all partitions. With records of 1 KB, 200,000 take about 4 s to read.
_RECORDS_MAX = 200_000
_WITHIN_S = 10.0
_YIELD_EVERY = 500


class EventMatcher:
    """Recognizes the records of one event.

    Args:
        customer_id: None = of any customer.
        max_bytes: Limit of an event's value.
    """

    def __init__(self, event_id: str, customer_id: str | None, *, max_bytes: int) -> None:
        self._id = event_id
        self._id_bytes = event_id.encode()
        self._key = None if customer_id is None else customer_id.encode()
        self._max_bytes = max_bytes

    def match(self, record: Record) -> FoundEvent | None:
        """Return the event if the record has it."""
        if self._key is not None and record.key != self._key and not is_broadcast(record):
            return None
        if not self._may_match(record):
            return None
        try:
            event = parse_event(record, max_bytes=self._max_bytes)
        except InvalidEventError:
            is_it = event_id_if_any(record) == self._id
            return FoundEvent(record, None) if is_it else None
        return FoundEvent(record, event) if event.id == self._id else None

    def _may_match(self, record: Record) -> bool:
        """Return False for most of the other events, without parsing them."""
        value = record.value or b""
        return (
            self._id_bytes in value
            # JSON may escape the characters of an id.
            or b"\\" in value
            or any(content == self._id_bytes for _, content in record.headers)
            or derived_id(record) == self._id
        )


class EventSearch:
    """Searches the topic `events`."""

    def __init__(
        self, cluster: Cluster, *, event_max_bytes: int, records_max: int = _RECORDS_MAX
    ) -> None:
        """Read at most the latest `records_max` offsets."""
        self._cluster = cluster
        self._topic = TopicNames(cluster.topic_prefix).events
        self._event_max_bytes = event_max_bytes
        self._records_max = records_max

    async def find(self, event_id: str, customer_id: str | None, *, since_ms: int) -> Search:
        """Return the first record of an event, or a replay of it if no other is there.

        Args:
            customer_id: None = search all partitions.
            since_ms: Written at this time or later; milliseconds since the Unix epoch.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`.
        """
        tps = await topic_partitions(self._cluster, self._topic)
        if customer_id is not None:
            tps = [tps[partition_of(customer_id, len(tps))]]
        matcher = EventMatcher(event_id, customer_id, max_bytes=self._event_max_bytes)
        each = max(1, self._records_max // len(tps))
        replayed: FoundEvent | None = None
        count, is_complete = 0, True
        async with read_from(self._cluster, from_earliest=True) as consumer:
            firsts = await consumer.offsets_for_times(dict.fromkeys(tps, since_ms))
            ends = await consumer.end_offsets(tps)
            ranges = {}
            for tp in tps:
                first = firsts[tp]
                start = ends[tp] if first is None else first.offset
                is_complete = is_complete and start >= ends[tp] - each
                ranges[tp] = (max(start, ends[tp] - each), ends[tp])
            partitions = tuple(tp.partition for tp in tps)
            total = sum(end - start for start, end in ranges.values())
            try:
                async with asyncio.timeout(_WITHIN_S):
                    async for found in read_ranges(consumer, ranges):
                        count += 1
                        if count % _YIELD_EVERY == 0:
                            await asyncio.sleep(0)
                        record = record_from(found)
                        if (match := matcher.match(record)) is None:
                            continue
                        if last_header(record.headers, REPLAY_HEADER) is None:
                            return Search(match, partitions, total, is_complete)
                        replayed = replayed or match
            except TimeoutError:
                return Search(replayed, partitions, count, is_complete=False)
        return Search(replayed, partitions, total, is_complete)
