"""Deferred events: dead letters that the worker reads back to deliver them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from hookseal.delivery.ports import DeferredPage
from hookseal.domain.replay import DrainedEntry, encode
from hookseal.errors import RecordRefusedError
from hookseal.kafka.consumer import connect, record_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaConsumer

    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)

_POLL_MS = 500
# What one drain takes at a time: others wait for the one reader, and letters are held in
# memory until they are delivered.
_LETTERS_MAX = 100
_BYTES_MAX = 1024 * 1024
_RECORDS_MAX = 5_000
# An entry has some 40 bytes for each letter: far below every limit of a topic.
_ENTRY_LETTERS_MAX = 500


class KafkaDeferredEvents:
    """`DeferredEventStore` on the topics `dead-letters` and `replays`.

    All backlogs of a worker share one consumer, which connects when the first one needs it: reading
    a page takes far less time than its deliveries.
    """

    def __init__(self, cluster: Cluster, names: TopicNames, producer: Producer) -> None:
        self._cluster = cluster
        self._topic = names.dead_letters
        self._ledger = names.replays
        self._producer = producer
        self._client: AIOKafkaConsumer | None = None
        self._reading = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def end(self, partition: int) -> int:
        """Return the offset that the partition's next dead letter will get.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        place = TopicPartition(self._topic, partition)
        async with self._reading:
            try:
                ends = await (await self._reader()).end_offsets([place])
            except (KafkaError, OSError) as error:
                raise self._cluster.unreachable() from error
            return int(ends[place])

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        """Return at most 100 wanted letters from offset `start` to before `end`.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        async with self._reading:
            try:
                return await self._read(TopicPartition(self._topic, partition), start, end, wanted)
            except (KafkaError, OSError) as error:
                raise self._cluster.unreachable() from error

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        """Enter the letters in the ledger; retry temporary errors until it is written.

        An entry that Kafka refuses is dropped: the letters are delivered, and lists show them as
        deferred until they expire.
        """
        for start in range(0, len(letters), _ENTRY_LETTERS_MAX):
            some = letters[start : start + _ENTRY_LETTERS_MAX]
            entry = DrainedEntry([(letter.offset, letter.timestamp_ms) for letter in some])
            try:
                await self._producer.publish_surely(
                    self._ledger, key=None, value=encode(entry), partition=partition
                )
            except RecordRefusedError as error:
                _log.error(
                    "The ledger lacks %d dead letters of partition %d, %d to %d: %s",
                    len(some),
                    partition,
                    some[0].offset,
                    some[-1].offset,
                    error.message,
                )

    async def _read(
        self, place: TopicPartition, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        reader = await self._reader()
        reader.assign([place])
        reader.seek(place, start)
        letters: list[Record] = []
        position = start
        records = size = 0
        while position < end and records < _RECORDS_MAX:
            try:
                batch = (await reader.getmany(place, timeout_ms=_POLL_MS)).get(place, [])
            except OffsetOutOfRangeError:
                position = await self._after_retention(reader, place, position)
                continue
            for found in batch:
                if found.offset >= end:
                    return DeferredPage(letters, end)
                record = record_from(found)
                position = record.offset + 1
                records += 1
                if wanted(record):
                    letters.append(record)
                    size += len(record.value or b"")
                    if len(letters) >= _LETTERS_MAX or size >= _BYTES_MAX:
                        return DeferredPage(letters, position)
            # Beyond what is no record: the marker of a transaction.
            position = max(position, await reader.position(place))
        return DeferredPage(letters, min(position, end))

    async def _after_retention(
        self, reader: AIOKafkaConsumer, place: TopicPartition, position: int
    ) -> int:
        first = int((await reader.beginning_offsets([place]))[place])
        _log.error(
            "Dead letters of partition %d from offset %d to %d are gone before they could be "
            "delivered: give %s a longer retention.",
            place.partition,
            position,
            first,
            place.topic,
        )
        reader.seek(place, first)
        return first

    async def _reader(self) -> AIOKafkaConsumer:
        if self._client is None:
            self._client = await connect(self._cluster)
        return self._client
