"""Consumers outside the worker: no consumer group, no commits, errors as `BrokerError`."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

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
# Processing a batch blocks the event loop: with records of 2 KB, a few milliseconds.
_BATCH_MAX = 200
# On a quiet topic: two requests a second.
_FOLLOW_WAIT_MS = 500
_ENDS_TIMEOUT_S = 2.0
_METADATA_TIMEOUT_S = 5.0
# Only the metadata shows that a topic was recreated with more partitions.
_METADATA_MS = 30_000


async def connect(
    cluster: Cluster, *, committed: bool = True, from_earliest: bool = False, **options: Any
) -> AIOKafkaConsumer:
    """Return a started consumer. Assign its partitions, and stop it in the end.

    Args:
        cluster: Where to read.
        committed: Skip records of aborted transactions, and stop before an open transaction. End
            offsets are last stable offsets. Otherwise they are high watermarks.
        from_earliest: Where retention removed the consumer's position, read on from the first
            record. Otherwise `OffsetOutOfRangeError` is raised.
        options: Further arguments of aiokafka's consumer.
    """
    arguments: dict[str, Any] = {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest" if from_earliest else "none",
        "isolation_level": "read_committed" if committed else "read_uncommitted",
        "fetch_max_wait_ms": _FETCH_WAIT_MS,
    }
    consumer = AIOKafkaConsumer(**cluster.arguments(), **arguments | options)
    await cluster.connect(consumer.start, consumer.stop)
    return consumer


@asynccontextmanager
async def consume(cluster: Cluster, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer as `connect` returns it, and stop it afterwards."""
    consumer = await connect(cluster, **options)
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def read_from(cluster: Cluster, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer as `consume` does; raise errors of Kafka as `broker_unreachable`."""
    try:
        async with consume(cluster, **options) as consumer:
            yield consumer
    except (KafkaError, OSError) as error:
        raise cluster.unreachable() from error


async def topic_partitions(
    cluster: Cluster, topic: str, partitions: Sequence[int] | None = None
) -> list[TopicPartition]:
    """Return these partitions of a topic, or all of them; raise `topic_missing` for none."""
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


async def read_ranges(
    consumer: AIOKafkaConsumer,
    ranges: Mapping[TopicPartition, tuple[int, int]],
    *,
    give_way: bool = False,
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records from the first offset of each range to before the second.

    With `give_way`, end early where an open transaction precedes all records that are left.
    Assigns the consumer. Raises `KafkaError` as the consumer does.
    """
    behind = {tp: end for tp, (start, end) in ranges.items() if start < end}
    if not behind:
        return
    consumer.assign(list(behind))
    # No await before the last seek: the consumer would choose a position itself.
    for tp in behind:
        consumer.seek(tp, ranges[tp][0])
    while behind:
        # All partitions at once: the client stops to fetch while records of one are not consumed.
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        for tp, records in batches.items():
            for record in records:
                if record.offset < behind.get(tp, 0):
                    yield record
        # Positions move past transaction markers, which are no records.
        positions = {tp: await consumer.position(tp) for tp in behind}
        behind = {tp: end for tp, end in behind.items() if positions[tp] < end}
        if give_way and not batches and all(_is_held(consumer, tp, positions) for tp in behind):
            return


def _is_held(
    consumer: AIOKafkaConsumer, tp: TopicPartition, positions: Mapping[TopicPartition, int]
) -> bool:
    """Return whether an open transaction ends what can be read at the position."""
    # None before the first answer. It is no time-out: a slow broker must not look like this.
    stable = consumer.last_stable_offset(tp)
    return stable is not None and 0 <= stable <= positions[tp]


async def records_at(
    consumer: AIOKafkaConsumer, tp: TopicPartition, offsets: Sequence[int]
) -> list[ConsumerRecord]:
    """Return the records at these ascending offsets; expired records are left out.

    Assigns the consumer. Raises `KafkaError` as the consumer does.
    """
    consumer.assign([tp])
    end = (await consumer.end_offsets([tp]))[tp]
    start = (await consumer.beginning_offsets([tp]))[tp]
    wanted = deque(offset for offset in offsets if start <= offset < end)
    found: list[ConsumerRecord] = []

    def skip_below(offset: int) -> None:
        while wanted and wanted[0] < offset:
            wanted.popleft()

    position = -1
    while wanted:
        if position < 0 or wanted[0] - position > _READ_ON:
            position = wanted[0]
            consumer.seek(tp, position)
        try:
            batches = await consumer.getmany(timeout_ms=1000)
        except OffsetOutOfRangeError:
            # Retention removed the records meanwhile.
            skip_below((await consumer.beginning_offsets([tp]))[tp])
            position = -1
            continue
        for record in batches.get(tp, ()):
            skip_below(record.offset)
            if wanted and wanted[0] == record.offset:
                found.append(record)
                wanted.popleft()
        position = await consumer.position(tp)
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

    def __init__(self, cluster: Cluster, *, committed: bool = True) -> None:
        """Return last stable offsets; high watermarks if not `committed`."""
        self._cluster = cluster
        self._committed = committed
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect, unless it is connected."""
        if self._client is None:
            self._client = await connect(self._cluster, committed=self._committed)

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def of(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the end offsets; a reader that reaches them has read all records."""
        if self._client is None:
            raise self._cluster.unreachable()
        tps = [TopicPartition(topic, partition) for partition in partitions]
        try:
            ends = await self._client.end_offsets(tps)
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error
        return {tp.partition: end for tp, end in ends.items()}


class LogFollower:
    """Reads without a consumer group and commits. Use it as an asynchronous context manager.

    Attributes:
        starts: Offset of the first record at the start, by partition.
        positions: Offset behind the last record for which `taken` was called, by partition.
    """

    def __init__(
        self, cluster: Cluster, topic: str, partitions: tuple[int, ...] | None = None
    ) -> None:
        self.starts: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self._cluster = cluster
        self._topic = topic
        self._partitions = partitions
        self._ends = LogEnds(cluster)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tps = await topic_partitions(self._cluster, self._topic, self._partitions)
            await self._ends.start()
            stack.push_async_callback(self._ends.close)
            waits = {"fetch_max_wait_ms": _FOLLOW_WAIT_MS, "metadata_max_age_ms": _METADATA_MS}
            # Not `from_earliest`: a position that the log does not have means that the topic was
            # recreated, and what was read of the old topic is worthless.
            self._consumer = await stack.enter_async_context(consume(self._cluster, **waits))
            try:
                starts = await self._consumer.beginning_offsets(self._tps)
            except (KafkaError, OSError) as error:
                raise self._cluster.unreachable() from error
            # No await before the last seek: the consumer would choose a position itself.
            self._consumer.assign(self._tps)
            for tp, offset in starts.items():
                self._consumer.seek(tp, offset)
                self.starts[tp.partition] = self.positions[tp.partition] = offset
            self._connections = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.aclose()

    async def batch(self) -> list[ConsumerRecord]:
        """Return the next records; empty after 200 ms without records or broker.

        Raises:
            BrokerError: `topic_replaced`, `topic_unreadable`.
        """
        try:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_MAX)
        except OffsetOutOfRangeError as error:
            raise self._replaced() from error
        except KafkaError as error:
            raise BrokerError(
                "topic_unreadable",
                f"Topic {self._topic} cannot be read: {type(error).__name__}.",
                field=self._topic,
            ) from error
        return [record for records in found.values() for record in records]

    async def taken(self) -> None:
        """Move the positions behind the last batch."""
        for tp in self._tps:
            self.positions[tp.partition] = await self._consumer.position(tp)

    async def ends(self) -> Mapping[int, int]:
        """Return the current end offset of each partition, or raise as `batch` does."""
        known = self._consumer.partitions_for_topic(self._topic)
        if known and self._partitions is None and len(known) != len(self._tps):
            raise self._replaced()
        try:
            async with asyncio.timeout(_ENDS_TIMEOUT_S):
                return await self._ends.of(self._topic, self.positions)
        except (BrokerError, TimeoutError):
            # The client does not notice that its topic was deleted.
            with suppress(TimeoutError):
                async with asyncio.timeout(_METADATA_TIMEOUT_S):
                    tps = await topic_partitions(self._cluster, self._topic)
                if self._partitions is None and tps != self._tps:
                    raise self._replaced() from None
            raise self._cluster.unreachable() from None

    def _replaced(self) -> BrokerError:
        return BrokerError(
            "topic_replaced",
            f"Topic {self._topic} was recreated. It is read from its start.",
            field=self._topic,
        )
