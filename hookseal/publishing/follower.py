"""Follows event ids that other processes write to `events`.

Reading the whole topic would cost a process as much as it writes, since its own records come back.
So it asks four times a second for the end offsets, and reads only records that this process did not
write. Where no other process writes, it reads nothing.
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
# For acknowledgements that are on their way when an end is asked for.
_GRACE_S = 0.05
_ANSWER_S = 5.0
_PAUSE_S = 1.0
_POLL_MS = 200
_RECORDS = 500


class ReadPosition:
    """Offset below which a partition is known, by reading or by writing."""

    __slots__ = ("_ahead", "offset")

    def __init__(self, offset: int) -> None:
        """Everything below the offset is known."""
        self.offset = offset
        self._ahead = (offset, offset)

    def wrote(self, first: int, count: int) -> None:
        """This process wrote `count` records from offset `first` on."""
        start, stop = self._ahead
        self._ahead = (start if first == stop else first, first + count)
        self._join()

    def read_to(self, offset: int) -> None:
        """Everything below the offset was read."""
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
        """Remember ids in `recent`, at first those of the last `window_s` seconds.

        A read takes at most `records_max` records over all partitions and skips older ones.
        """
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
        """Follow in the background; returns at once, also while Kafka is away."""
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
            except Exception:  # noqa: BLE001 - following goes on, whatever a record holds
                _log.exception("Following %s failed.", self._topic)
                self._reason = _recovering()
            await asyncio.sleep(_PAUSE_S)

    async def _follow(self) -> None:
        places = {
            place.partition: place for place in await topic_partitions(self._cluster, self._topic)
        }
        ends = LogEnds(self._cluster)
        try:
            await ends.start()
            async with consume(self._cluster, from_earliest=True) as consumer:
                consumer.assign(list(places.values()))
                consumer.pause(*places.values())
                await self._begin(consumer, places)
                while True:
                    # The client would ask brokers that do not answer for a long time.
                    async with asyncio.timeout(_ANSWER_S):
                        found = await ends.of(self._topic, places)
                    await asyncio.sleep(_GRACE_S)
                    behind = {
                        places[partition]: end
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
        self, consumer: AIOKafkaConsumer, places: Mapping[int, TopicPartition]
    ) -> None:
        """Seek new partitions to the start of the window."""
        new = [place for partition, place in places.items() if partition not in self._seen]
        if not new:
            return
        since_ms = int((self._now() - self._window_s) * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(new, since_ms))
        ends = await consumer.end_offsets(new)
        for place in new:
            start = starts[place]
            self._seen[place.partition] = ReadPosition(
                ends[place] if start is None else start.offset
            )

    async def _read(self, consumer: AIOKafkaConsumer, behind: dict[TopicPartition, int]) -> None:
        share = max(_RECORDS, self._records_max // len(self._seen))
        for place, end in behind.items():
            consumer.seek(place, max(self._seen[place.partition].offset, end - share))
        consumer.resume(*behind)
        try:
            while behind:
                batches = await consumer.getmany(*behind, timeout_ms=_POLL_MS, max_records=_RECORDS)
                for records in batches.values():
                    for record in records:
                        self._note(record)
                # Requests go on meanwhile.
                await asyncio.sleep(0)
                for place, end in tuple(behind.items()):
                    if await consumer.position(place) >= end:
                        self._seen[place.partition].read_to(await consumer.position(place))
                        consumer.pause(place)
                        del behind[place]
        finally:
            consumer.pause(*behind)

    def _note(self, found: ConsumerRecord) -> None:
        if not found.headers:
            return
        record = record_from(found)
        event_id = last_header(record.headers, EVENT_ID_HEADER)
        # A replay is for one endpoint alone, so that it publishes nothing for the others.
        if event_id is None or last_header(record.headers, REPLAY_HEADER) is not None:
            return
        copy = record.partition if is_broadcast(record) else None
        mark = mark_of(b"" if copy is not None else record.key or b"", event_id, copy)
        # A producer may write any time it likes.
        at = min(self._now(), record.timestamp_ms / 1000)
        self._recent.remember(
            mark,
            Published(fingerprint_of(record.value or b""), record.partition, record.offset, at),
        )


def _recovering() -> BrokerError:
    return BrokerError("event_ids_recovering", "The latest event ids are still being read.")
