"""Reads topics into an index, and reconnects after each Kafka error."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hookseal.dead_letters.index.file import Batch, Behind, fingerprint
from hookseal.errors import BrokerError
from hookseal.kafka.consumer import connect, consume, topic_partitions
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from hookseal.dead_letters.index.file import IndexFile, Known, Source
    from hookseal.kafka.cluster import Cluster

    Follow = Callable[[IndexFile, Sequence[Source]], "Following"]

_log = logging.getLogger(__name__)

_POLL_MS = 200
_RECORDS_AT_A_TIME = 5_000
_TIDY_EVERY_S = 30.0
_RECONNECT_S = 1.0
_RECONNECT_CAP_S = 15.0

_T = TypeVar("_T")


class Following(Protocol):
    """Keeps an index up to date with its source; see `Follower`."""

    async def start(self, *, patient: bool = False) -> None:
        """Begin to follow in the background."""
        ...

    async def close(self) -> None:
        """Stop following and close the file."""
        ...

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run work on the file in a thread."""
        ...

    async def catch_up(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
        at_least: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Wait until the index has every record that exists now."""
        ...

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition."""
        ...


class Follower:
    """Reads the topics of an index into its file until it is closed."""

    def __init__(self, cluster: Cluster, file: IndexFile, sources: Sequence[Source]) -> None:
        self._cluster = cluster
        self._file = file
        self._sources = {source.topic: source for source in sources}
        self._threads = ThreadPoolExecutor(max_workers=3, thread_name_prefix="hookseal-index")
        self._reached: dict[TopicPartition, int] = {}
        self._progress = asyncio.Condition()
        self._questions: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def start(self, *, patient: bool = False) -> None:
        """Open the file, connect, and begin to follow in the background.

        Args:
            patient: Return at once. Errors are retried, and queries raise them meanwhile.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`; not if patient.
            ConfigurationError: `index_unusable`; not if patient.
        """
        if not patient:
            await self._open()
        self._task = asyncio.create_task(self._follow())

    async def _open(self) -> None:
        await self.run(self._file.make)
        questions = await connect(self._cluster, committed=True)
        try:
            self._places = [
                place
                for topic in self._sources
                for place in await topic_partitions(self._cluster, topic)
            ]
        except BaseException:
            await questions.stop()
            raise
        self._questions = questions

    async def close(self) -> None:
        """Stop following and close the file."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None
        if self._questions is not None:
            await self._questions.stop()
            self._questions = None
        self._threads.shutdown(wait=True)
        self._file.close()

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run work on the file in a thread.

        Raises:
            ConfigurationError: `index_unusable`.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except sqlite3.Error as error:
            raise self._file.unusable(error) from error

    async def catch_up(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
        at_least: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Wait until the index has every record that the topics have now.

        Args:
            timeout_s: Seconds to wait; None = as long as it takes.
            on_progress: Told how many offsets are read, and of how many.
            at_least: Offsets to be reached, even if the topics do not seem to go so far.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                ends = await self.ends()
                for place, offset in (at_least or {}).items():
                    ends[place] = max(ends[place], offset)
                first: dict[TopicPartition, int] = {}

                def done() -> bool:
                    if self._failure is not None:
                        raise self._failure
                    if self._reached.keys() < ends.keys():
                        return False
                    for place in ends:
                        first.setdefault(place, min(self._reached[place], ends[place]))
                    read = sum(min(self._reached[p], end) - first[p] for p, end in ends.items())
                    of = sum(end - first[place] for place, end in ends.items())
                    on_progress(read, of)
                    return read >= of

                async with self._progress:
                    await self._progress.wait_for(done)
        except TimeoutError:
            raise BrokerError(
                "index_behind",
                "The index is still being read from Kafka; ask again in a few seconds.",
            ) from None

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of each partition.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        if self._questions is None:
            raise self._failure or self._cluster.unreachable()
        try:
            found: dict[TopicPartition, int] = await self._questions.end_offsets(self._places)
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error
        return found

    async def _follow(self) -> None:
        delay = RetryDelay(_RECONNECT_S, _RECONNECT_CAP_S)
        while True:
            try:
                if self._questions is None:
                    await self._open()
                async with consume(
                    self._cluster, committed=True, max_poll_records=_RECORDS_AT_A_TIME
                ) as client:
                    delay.reset()
                    await self._session(client)
            except Behind:
                continue
            except (KafkaError, BrokerError, OSError) as error:
                _log.warning("The index waits for Kafka: %s", type(error).__name__)
            except Exception as error:  # noqa: BLE001 - the next query raises it
                await self._fail(error)
            await asyncio.sleep(delay.next_s())

    async def _fail(self, error: Exception) -> None:
        _log.error("The index cannot be written: %s", error)
        async with self._progress:
            self._failure = error
            self._progress.notify_all()

    async def _session(self, client: AIOKafkaConsumer) -> None:
        client.assign(self._places)
        self._reached.clear()
        at, unsure = await self._begin(client)
        for place, position in at.items():
            client.seek(place, position)
        await self._tidy(client, at)
        await self._tell(at, unsure)
        tidied = time.monotonic()
        while True:
            found = await client.getmany(timeout_ms=_POLL_MS, max_records=_RECORDS_AT_A_TIME)
            batches = []
            for place, position in at.items():
                after, records = await client.position(place), found.get(place, [])
                if place in unsure and records:
                    await self._check(place, unsure.pop(place), records[0])
                if after > position:
                    batches.append(Batch(place.topic, place.partition, position, after, records))
            if batches:
                await self.run(partial(self._file.take, batches))
                at |= {TopicPartition(b.topic, b.partition): b.next for b in batches}
            await self._tell(at, unsure)
            if time.monotonic() - tidied > _TIDY_EVERY_S:
                await self._tidy(client, at)
                tidied = time.monotonic()

    async def _begin(
        self, client: AIOKafkaConsumer
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, Known]]:
        """Return the offset to read from, and the record that must be there, by partition."""
        starts = await client.beginning_offsets(self._places)
        ends = await client.end_offsets(self._places)
        begun: dict[TopicPartition, int] = {}
        unsure: dict[TopicPartition, Known] = {}
        for topic, source in self._sources.items():
            known = await self.run(partial(self._file.positions, topic))
            places = [place for place in self._places if place.topic == topic]
            for place in places:
                start, end = starts[place], ends[place]
                if source.rows_max is not None:
                    # Not what would be dropped again as soon as it is read.
                    start = max(start, end - source.rows_max // len(places))
                at = known.get(place.partition)
                if at is None or at.next > end or at.next < start:
                    await self._restart(place, start)
                    begun[place] = start
                elif at.last is None or at.last < start:
                    begun[place] = at.next
                else:
                    # Read the last known record again: a topic that was created again and
                    # has grown since has another record there.
                    begun[place], unsure[place] = at.last, at
        return begun, unsure

    async def _check(self, place: TopicPartition, known: Known, record: Any) -> None:
        if (known.last, known.fingerprint) != (record.offset, fingerprint(record)):
            _log.warning("%s was made anew; its index is, too.", place.topic)
            await self._restart(place, 0)
            raise Behind

    async def _restart(self, place: TopicPartition, offset: int) -> None:
        await self.run(partial(self._file.begin, place.topic, place.partition, offset))

    async def _tell(
        self, at: dict[TopicPartition, int], unsure: dict[TopicPartition, Known]
    ) -> None:
        async with self._progress:
            self._failure = None
            self._reached |= {place: offset for place, offset in at.items() if place not in unsure}
            self._progress.notify_all()

    async def _tidy(self, client: AIOKafkaConsumer, at: dict[TopicPartition, int]) -> None:
        """Delete rows of expired records; detect a topic that was created again."""
        starts = await client.beginning_offsets(self._places)
        ends = await client.end_offsets(self._places)
        if any(ends[place] < offset for place, offset in at.items()):
            raise Behind
        for topic, source in self._sources.items():
            places = [place for place in self._places if place.topic == topic]
            share = None if source.rows_max is None else source.rows_max // len(places)
            below = {
                place.partition: max(starts[place], 0 if share is None else ends[place] - share)
                for place in places
            }
            await self.run(partial(self._file.drop_below, topic, below))
