"""Deferred events: dead letters that the worker reads back to deliver them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from hookseal.delivery.ports import DeferredPage
from hookseal.domain.replay import DrainedEntry, encode
from hookseal.errors import RecordRefusedError
from hookseal.kafka.consumer import LogEnds, connect, read_ranges, record_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from aiokafka import AIOKafkaConsumer

    from hookseal.domain.record import Record
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)

# Limits of one page: backlogs share one consumer, and letters stay in memory until delivered.
_PAGE_MAX_LETTERS = 100
_PAGE_MAX_BYTES = 1024 * 1024
_PAGE_MAX_READ = 5_000
# An entry has some 40 bytes for each letter: far below every limit of a topic.
_ENTRY_MAX_LETTERS = 500
_OPEN_TRANSACTION_PAUSE_S = 0.5


class KafkaDeferredEvents:
    """`DeferredEventStore` on the topics `dead-letters` and `replays`.

    All backlogs share one consumer: reading a page takes far less time than its deliveries.
    """

    def __init__(self, cluster: Cluster, names: TopicNames, producer: Producer) -> None:
        self._cluster = cluster
        self._topic = names.dead_letters
        self._ledger = names.replays
        self._producer = producer
        self._client: AIOKafkaConsumer | None = None
        # The end must include letters behind an open transaction: `read` waits for them.
        self._ends = LogEnds(cluster, committed=False)
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        await self._ends.close()
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def end(self, partition: int) -> int:
        """Return the offset that the partition's next dead letter will get.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        async with self._lock:
            await self._ends.start()
        return (await self._ends.of(self._topic, [partition]))[partition]

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        """Return at most 100 wanted letters from offset `start` to before `end`.

        A page ends before an open transaction. If it has nothing else, it comes a moment later, so
        that the backlogs of other partitions are read meanwhile.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        page = await self._read(TopicPartition(self._topic, partition), start, end, wanted)
        if page.next <= start < end:
            await asyncio.sleep(_OPEN_TRANSACTION_PAUSE_S)
        return page

    async def _read(
        self, tp: TopicPartition, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        letters: list[Record] = []
        size = 0
        if start >= end:
            return DeferredPage(letters, end)
        async with self._locked_client() as client:
            try:
                async for found in read_ranges(client, {tp: (start, end)}, give_way=True):
                    record = record_from(found)
                    if wanted(record):
                        letters.append(record)
                        size += len(record.value or b"")
                    if (
                        len(letters) >= _PAGE_MAX_LETTERS
                        or size >= _PAGE_MAX_BYTES
                        or record.offset - start >= _PAGE_MAX_READ
                    ):
                        return DeferredPage(letters, record.offset + 1)
                end = min(end, await client.position(tp))
            except OffsetOutOfRangeError:
                first = int((await client.beginning_offsets([tp]))[tp])
                _log.error(
                    "Dead letters of partition %d from offset %d to %d are gone before they could "
                    "be delivered. Increase the retention of %s.",
                    tp.partition,
                    start,
                    first,
                    self._topic,
                )
                end = min(first, end)
        return DeferredPage(letters, end)

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        """Enter the dead letters in the ledger; retry temporary errors until it is written.

        An entry that Kafka refuses is dropped. Its events are delivered, but lists show them as
        deferred until they expire.
        """
        for start in range(0, len(letters), _ENTRY_MAX_LETTERS):
            some = letters[start : start + _ENTRY_MAX_LETTERS]
            entry = DrainedEntry([(letter.offset, letter.timestamp_ms) for letter in some])
            try:
                await self._producer.publish_surely(
                    self._ledger, key=None, value=encode(entry), partition=partition
                )
            except RecordRefusedError as error:
                part = (partition, some[0].offset, some[-1].offset)
                _log.error("The ledger lacks letters %d/%d to %d: %s", *part, error.message)

    @asynccontextmanager
    async def _locked_client(self) -> AsyncIterator[AIOKafkaConsumer]:
        async with self._lock:
            try:
                if self._client is None:
                    self._client = await connect(self._cluster)
                yield self._client
            except (KafkaError, OSError) as error:
                raise self._cluster.unreachable() from error
