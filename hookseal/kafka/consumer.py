"""Consumers outside the worker: no consumer group, no commits, errors as `BrokerError`."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from hookseal.domain.record import Record
from hookseal.errors import BrokerError
from hookseal.kafka.topics import partitions_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from aiokafka import ConsumerRecord

    from hookseal.kafka.cluster import Cluster

_FETCH_WAIT_MS = 100
_POLL_MS = 200
# Up to this many offsets, it costs less to read on than to fetch from another offset.
_READ_ON = 2_000


async def connect(
    cluster: Cluster, *, committed: bool = False, from_earliest: bool = False, **options: Any
) -> AIOKafkaConsumer:
    """Return a started consumer. Assign its partitions, and stop it in the end.

    Args:
        cluster: Where to read.
        committed: Skip records of open or aborted transactions.
        from_earliest: Where retention removed the consumer's position, read on from the first
            record. Otherwise `OffsetOutOfRangeError` is raised.
        options: Further arguments of aiokafka's consumer.
    """
    # Without idempotent writes there are no transactions.
    read_committed = committed and cluster.idempotence
    arguments: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest" if from_earliest else "none",
        "isolation_level": "read_committed" if read_committed else "read_uncommitted",
        "fetch_max_wait_ms": _FETCH_WAIT_MS,
    }
    consumer = AIOKafkaConsumer(**cluster.arguments(), **arguments | options)

    async def start() -> None:
        await consumer.start()
        # If a task of aiokafka is cancelled before its first step, `stop` raises CancelledError,
        # as if the caller were cancelled.
        await asyncio.sleep(0)

    await cluster.connect(start, consumer.stop)
    return consumer


@asynccontextmanager
async def consume(cluster: Cluster, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer as `connect` returns it, and stop it afterwards."""
    consumer = await connect(cluster, **options)
    try:
        yield consumer
    finally:
        await consumer.stop()


async def topic_partitions(
    cluster: Cluster, topic: str, partitions: Sequence[int] | None = None
) -> list[TopicPartition]:
    """Return these partitions of a topic, or all of them.

    Raises:
        BrokerError: `topic_missing`.
    """
    if partitions is None:
        partitions = range((await partitions_of(cluster, [topic])).get(topic, 0))
    if not partitions:
        raise topic_missing(topic)
    return [TopicPartition(topic, partition) for partition in partitions]


def topic_missing(topic: str) -> BrokerError:
    """Return the error for a topic that does not exist."""
    return BrokerError(
        "topic_missing",
        f"Topic {topic} does not exist. Create it with `hookseal topics create`.",
        field=topic,
    )


async def read_all(
    cluster: Cluster, topic: str, *, partition: int | None = None
) -> AsyncIterator[Record]:
    """Yield the current records of a topic, or of one partition; order holds per partition.

    Raises:
        BrokerError: `topic_missing`.
    """
    partitions = await topic_partitions(cluster, topic, None if partition is None else (partition,))
    async with consume(cluster, from_earliest=True) as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        ranges = {place: (starts[place], ends[place]) for place in partitions}
        async for record in read_ranges(consumer, ranges):
            yield record_from(record)


async def read_ranges(
    consumer: AIOKafkaConsumer, ranges: Mapping[TopicPartition, tuple[int, int]]
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records from the first offset of each range to before the second.

    Assigns the consumer. Raises `KafkaError` as the consumer does.
    """
    behind = {place: end for place, (start, end) in ranges.items() if start < end}
    if not behind:
        return
    consumer.assign(list(behind))
    # No await before the last seek: the consumer would choose a position itself.
    for place in behind:
        consumer.seek(place, ranges[place][0])
    while behind:
        # All partitions at once: the client stops to fetch while records of one are not consumed.
        for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
            for record in records:
                if record.offset < behind.get(place, 0):
                    yield record
        # Positions move past transaction markers, which are no records.
        behind = {
            place: end for place, end in behind.items() if await consumer.position(place) < end
        }


async def records_at(
    consumer: AIOKafkaConsumer, place: TopicPartition, offsets: Sequence[int]
) -> list[ConsumerRecord]:
    """Return the records at these ascending offsets; expired records are left out.

    Assigns the consumer. Raises `KafkaError` as the consumer does.
    """
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    start = (await consumer.beginning_offsets([place]))[place]
    wanted = deque(offset for offset in offsets if start <= offset < end)
    found: list[ConsumerRecord] = []

    def skip_below(offset: int) -> None:
        while wanted and wanted[0] < offset:
            wanted.popleft()

    position = -1
    while wanted:
        if position < 0 or wanted[0] - position > _READ_ON:
            position = wanted[0]
            consumer.seek(place, position)
        try:
            batches = await consumer.getmany(timeout_ms=1000)
        except OffsetOutOfRangeError:
            # Retention removed the records meanwhile.
            skip_below((await consumer.beginning_offsets([place]))[place])
            position = -1
            continue
        for record in batches.get(place, ()):
            skip_below(record.offset)
            if wanted and wanted[0] == record.offset:
                found.append(record)
                wanted.popleft()
        position = await consumer.position(place)
        skip_below(position)
    return found


def record_from(record: ConsumerRecord) -> Record:
    """Return aiokafka's record as a `Record`; key, value and headers stay as they are."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple(record.headers),
        record.timestamp,
        getattr(record, "fault", None),
    )


class LogEnds:
    """Fetches the end offsets of partitions, on a connection of its own.

    On a consumer's connection the request would wait behind a fetch, up to 1.5 s each time.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        self._client = await connect(self._cluster)

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def of(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that the next record of each partition will get."""
        if self._client is None:
            raise self._cluster.unreachable()
        places = [TopicPartition(topic, partition) for partition in partitions]
        try:
            ends = await self._client.end_offsets(places)
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error
        return {place.partition: end for place, end in ends.items()}
