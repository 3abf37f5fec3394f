"""Follows event ids that other processes write to `events`.

A reader of the whole topic would also read what its own process wrote. So the follower asks for the
end offsets four times a second, and reads only the records of other processes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from hookseal.domain.event import EVENT_ID_HEADER, REPLAY_HEADER, is_broadcast
from hookseal.domain.record import last_header
from hookseal.errors import BrokerError
from hookseal.kafka.consumer import LogEnds, consume, record_from, topic_partitions
from hookseal.publishing.deduplication import Published, fingerprint_of, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

    from hookseal.kafka.cluster import Cluster
    from hookseal.publishing.deduplication import RecentIds

_log = logging.getLogger(__name__)

_EVERY_S = 0.25
# For acknowledgements that arrive just after the answer.
_GRACE_S = 0.05
_ANSWER_TIMEOUT_S = 5.0
_PAUSE_S = 1.0
_POLL_MS = 200
_RECORDS = 500


class ReadPosition:
    """Offset below which all records of a partition are known, read or written here."""

    __slots__ = ("_ahead", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self._ahead = (offset, offset)

    def wrote(self, first: int, count: int) -> None:
        """This process wrote `count` records from offset `first` on."""
        start, stop = self._ahead
        self._ahead = (start if first == stop else first, first + count)
        self._join()

    def read_to(self, offset: int) -> None:
        """All records below the offset are read."""
        self.offset = max(self.offset, offset)
        self._join()

    def _join(self) -> None:
        start, stop = self._ahead
        if start <= self.offset <= stop:
            self.offset = stop


class EventFollower:
    """Remembers event ids of other processes and from before the start."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        *,
        recent: RecentIds,
        records_max: int,
        window_s: float,
        now: Callable[[], float],
    ) -> None:
        """Remember ids of the last `window_s` seconds; read at most `records_max` at a time."""
        self._cluster = cluster
        self._topic = topic
        self._recent = recent
        self._records_max = records_max
        self._window_s = window_s
        self._now = now
        self._seen: dict[int, ReadPosition] = {}
        self._reason: BrokerError | None = _recovering()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow in the background; return at once."""
        self._task = asyncio.create_task(self._keep_following())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def why_not_ready(self) -> BrokerError | None:
        """Return why ids of other processes are unknown, or None."""
        return self._reason

    def wrote(self, partition: int, first: int, count: int) -> None:
        """Skip `count` records of this process from offset `first` on."""
        if seen := self._seen.get(partition):
            seen.wrote(first, count)

    async def _keep_following(self) -> None:
        while True:
            try:
                await self._follow()
            except BrokerError as error:
                self._reason = error
            except (KafkaError, OSError):
                self._reason = self._cluster.unreachable()
            except Exception:  # noqa: BLE001 - a record must not stop the follower
                _log.exception("Following %s failed.", self._topic)
                self._reason = _recovering()
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        partitions = {tp.partition: tp for tp in await topic_partitions(self._cluster, self._topic)}
        ends = LogEnds(self._cluster)
        try:
            await ends.start()
            async with consume(self._cluster, from_earliest=True) as consumer:
                consumer.assign(list(partitions.values()))
                consumer.pause(*partitions.values())
                await self._begin(consumer, partitions)
                while True:
                    # The client itself waits long for brokers that do not answer.
                    async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                        found = await ends.of(self._topic, partitions)
                    await asyncio.sleep(_GRACE_S)
                    behind = {
                        partitions[partition]: end
                        for partition, end in found.items()
                        if end > self._seen[partition].offset
                    }
                    if behind:
                        await self._read(consumer, behind)
                    self._reason = None
                    await asyncio.sleep(_EVERY_S)
        finally:
            await ends.close()

    async def _begin(
        self, consumer: AIOKafkaConsumer, partitions: Mapping[int, TopicPartition]
    ) -> None:
        """Seek new partitions to the start of the window."""
        new = [tp for partition, tp in partitions.items() if partition not in self._seen]
        if not new:
            return
        since_ms = int((self._now() - self._window_s) * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(new, since_ms))
        ends = await consumer.end_offsets(new)
        for tp in new:
            start = starts[tp]
            self._seen[tp.partition] = ReadPosition(ends[tp] if start is None else start.offset)

    async def _read(self, consumer: AIOKafkaConsumer, behind: dict[TopicPartition, int]) -> None:
        share = max(_RECORDS, self._records_max // len(self._seen))
        for tp, end in behind.items():
            consumer.seek(tp, max(self._seen[tp.partition].offset, end - share))
        consumer.resume(*behind)
        try:
            while behind:
                batches = await consumer.getmany(*behind, timeout_ms=_POLL_MS, max_records=_RECORDS)
                for records in batches.values():
                    for record in records:
                        self._note(record)
                # Yield to requests.
                await asyncio.sleep(0)
                for tp, end in tuple(behind.items()):
                    if (position := await consumer.position(tp)) >= end:
                        self._seen[tp.partition].read_to(position)
                        consumer.pause(tp)
                        del behind[tp]
        finally:
            consumer.pause(*behind)

    def _note(self, found: ConsumerRecord) -> None:
        if not found.headers:
            return
        record = record_from(found)
        event_id = last_header(record.headers, EVENT_ID_HEADER)
        # A replay is for one endpoint. It does not make a new event of this id a duplicate.
        if event_id is None or last_header(record.headers, REPLAY_HEADER) is not None:
            return
        copy = record.partition if is_broadcast(record) else None
        mark = mark_of(b"" if copy is not None else record.key or b"", event_id, copy)
        # A producer may choose any timestamp.
        at = min(self._now(), record.timestamp_ms / 1000)
        self._recent.remember(
            mark,
            Published(fingerprint_of(record.value or b""), record.partition, record.offset, at),
        )


def _recovering() -> BrokerError:
    return BrokerError("event_ids_recovering", "The latest event ids are still being read. Retry.")
