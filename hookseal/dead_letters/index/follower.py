"""Keeps an index up to date with its topics, and reconnects after each Kafka error."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from hookseal.dead_letters.index.file import Batch, IndexChangedError, IndexFile, fingerprint
from hookseal.errors import BrokerError
from hookseal.kafka.consumer import connect, consume, topic_partitions
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

    from hookseal.dead_letters.index.file import ReadPosition, Source
    from hookseal.kafka.cluster import Cluster

_log = logging.getLogger(__name__)

_POLL_MS = 200
_BATCH_MAX_RECORDS = 5_000
_CLEAN_UP_EVERY_S = 30.0
_RECONNECT_S = 1.0
_RECONNECT_CAP_S = 15.0


class KafkaIndex:
    """An index file that follows its topics from `start` to `close`. Start it once."""

    def __init__(self, cluster: Cluster, path: Path, sources: Iterable[Source]) -> None:
        self.file = IndexFile(path, sources)
        self._cluster = cluster
        self._reached: dict[TopicPartition, int] = {}
        self._progress = asyncio.Condition()
        # Asks for end offsets: on the reading client the answer would wait behind a fetch.
        self._offsets_client: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def start(self, *, patient: bool = False) -> None:
        """Open the file, connect, and follow in the background.

        If `patient`, return at once. Errors are retried, and queries raise them meanwhile.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`.
            ConfigurationError: `index_unusable`.
        """
        if not patient:
            await self._open()
        self._task = asyncio.create_task(self._follow())

    async def _open(self) -> None:
        await self.file.create()
        client = await connect(self._cluster)
        try:
            self._partitions = [
                tp
                for topic in self.file.sources
                for tp in await topic_partitions(self._cluster, topic)
            ]
        except BaseException:
            await client.stop()
            raise
        self._offsets_client = client

    async def close(self) -> None:
        """Stop following and close the file."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        if self._offsets_client is not None:
            await self._offsets_client.stop()
            self._offsets_client = None
        self.file.close()

    async def catch_up(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
        at_least: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Wait until the index has every record that the topics have now.

        Args:
            timeout_s: None = no limit.
            on_progress: Called with the number of offsets that are read, and of all offsets.
            at_least: Offsets to reach, even if the topics seem to end before them.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                ends = await self.ends()
                for tp, offset in (at_least or {}).items():
                    ends[tp] = max(ends[tp], offset)
                first: dict[TopicPartition, int] = {}

                def done() -> bool:
                    if self._failure is not None:
                        raise self._failure
                    if self._reached.keys() < ends.keys():
                        return False
                    for tp in ends:
                        first.setdefault(tp, min(self._reached[tp], ends[tp]))
                    read = sum(min(self._reached[tp], end) - first[tp] for tp, end in ends.items())
                    total = sum(end - first[tp] for tp, end in ends.items())
                    on_progress(read, total)
                    return read >= total

                async with self._progress:
                    await self._progress.wait_for(done)
        except TimeoutError:
            raise BrokerError(
                "index_behind",
                "The index is not up to date yet. Retry in a few seconds.",
            ) from None

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        if self._offsets_client is None:
            raise self._failure or self._cluster.unreachable()
        try:
            return dict(await self._offsets_client.end_offsets(self._partitions))
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error

    async def _follow(self) -> None:
        delay = RetryDelay(_RECONNECT_S, _RECONNECT_CAP_S)
        while True:
            try:
                if self._offsets_client is None:
                    await self._open()
                async with consume(self._cluster, max_poll_records=_BATCH_MAX_RECORDS) as client:
                    delay.reset()
                    await self._read(client)
            except IndexChangedError:
                continue
            except (KafkaError, BrokerError, OSError) as error:
                _log.warning("The index cannot read Kafka and retries: %s", type(error).__name__)
            except Exception as error:  # noqa: BLE001 - the next query raises it
                _log.error("The index cannot be written: %s", error)
                async with self._progress:
                    self._failure = error
                    self._progress.notify_all()
            await asyncio.sleep(delay.next_s())

    async def _read(self, client: AIOKafkaConsumer) -> None:
        client.assign(self._partitions)
        self._reached.clear()
        at, unverified = await self._start_positions(client)
        for tp, position in at.items():
            client.seek(tp, position)
        await self._clean_up(client, at)
        await self._report(at, unverified)
        cleaned_up = time.monotonic()
        while True:
            found = await client.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_MAX_RECORDS)
            batches = []
            for tp, position in at.items():
                after, records = await client.position(tp), found.get(tp, [])
                if tp in unverified and records:
                    await self._verify(tp, unverified.pop(tp), records[0])
                if after > position:
                    batches.append(Batch(tp, position, after, records))
            if batches:
                await self.file.insert(batches)
                at |= {batch.tp: batch.next for batch in batches}
            await self._report(at, unverified)
            if time.monotonic() - cleaned_up > _CLEAN_UP_EVERY_S:
                await self._clean_up(client, at)
                cleaned_up = time.monotonic()

    async def _bounds(self, client: AIOKafkaConsumer) -> dict[TopicPartition, tuple[int, int]]:
        """Return the first offset to index and the end offset, by partition."""
        starts = await client.beginning_offsets(self._partitions)
        ends = await client.end_offsets(self._partitions)
        bounds = {}
        for tp in self._partitions:
            start, end = starts[tp], ends[tp]
            if (rows_max := self.file.sources[tp.topic].rows_max) is not None:
                count = sum(other.topic == tp.topic for other in self._partitions)
                start = max(start, end - rows_max // count)
            bounds[tp] = start, end
        return bounds

    async def _start_positions(
        self, client: AIOKafkaConsumer
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, ReadPosition]]:
        """Return the offset to read from, and the record that must be there, by partition."""
        positions: dict[TopicPartition, int] = {}
        unverified: dict[TopicPartition, ReadPosition] = {}
        known = await self.file.positions()
        for tp, (start, end) in (await self._bounds(client)).items():
            at = known.get(tp)
            if at is None or at.next > end or at.next < start:
                await self.file.restart(tp, start)
                positions[tp] = start
            elif at.last is None or at.last < start:
                positions[tp] = at.next
            else:
                # Read the last known record again: a topic that was recreated and has grown
                # since then has another record at this offset.
                positions[tp], unverified[tp] = at.last, at
        return positions, unverified

    async def _verify(
        self, tp: TopicPartition, known: ReadPosition, record: ConsumerRecord
    ) -> None:
        if (known.last, known.fingerprint) != (record.offset, fingerprint(record)):
            _log.warning("The topic %s was recreated. Its index is rebuilt.", tp.topic)
            await self.file.restart(tp, 0)
            raise IndexChangedError

    async def _report(
        self, at: Mapping[TopicPartition, int], unverified: Mapping[TopicPartition, ReadPosition]
    ) -> None:
        async with self._progress:
            self._failure = None
            self._reached |= {tp: offset for tp, offset in at.items() if tp not in unverified}
            self._progress.notify_all()

    async def _clean_up(self, client: AIOKafkaConsumer, at: Mapping[TopicPartition, int]) -> None:
        """Delete rows of expired records; detect a topic that was recreated."""
        bounds = await self._bounds(client)
        if any(bounds[tp][1] < offset for tp, offset in at.items()):
            raise IndexChangedError
        await self.file.drop_below({tp: start for tp, (start, _) in bounds.items()})


def file_name(kind: str, cluster: Cluster) -> str:
    """Return the index's file name, which is different for each cluster and prefix."""
    where = f"{cluster.bootstrap}\n{cluster.topic_prefix}"
    return f"{kind}-{hashlib.sha256(where.encode()).hexdigest()[:16]}.sqlite"
