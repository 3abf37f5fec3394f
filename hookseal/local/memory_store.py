"""A store in the memory of one process."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, defaultdict, deque
from itertools import islice, takewhile
from typing import TYPE_CHECKING

import msgspec

from hookseal.domain.record import Position, Record
from hookseal.errors import EventIdReusedError
from hookseal.local.store import REPEAT_WINDOW_S, Documents, Write, queue_full
from hookseal.publishing.deduplication import Published, RecentIds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.errors import BrokerError
    from hookseal.local.store import Log

_IDS_MAX = 200_000
_CHANGES_REMEMBERED = 10_000


class Contents(msgspec.Struct):
    """What a store has: documents by customer id, records, settled dead letters by partition."""

    partitions: int
    documents: dict[str, bytes]
    records: list[Record]
    settled: list[set[int]]


class MemoryStore:
    """A `Store` in the memory of this process; `now` returns seconds since the Unix epoch."""

    def __init__(self, partitions: int, *, now: Callable[[], float]) -> None:
        self.partitions = partitions
        self._now = now
        # By topic and partition, then by offset. A plain dict gets slow when its first items are
        # deleted again and again.
        self._records: dict[tuple[str, int], OrderedDict[int, Record]] = defaultdict(OrderedDict)
        self._ends: Counter[tuple[str, int]] = Counter()
        self._settled: list[set[int]] = [set() for _ in range(partitions)]
        self._recent = RecentIds(ids_max=_IDS_MAX, window_s=REPEAT_WINDOW_S)
        self._documents: dict[str, bytes] = {}
        self._version = 0
        self._changed: deque[str] = deque(maxlen=_CHANGES_REMEMBERED)
        self._news = asyncio.Condition()

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def why_not_ready(self) -> BrokerError | None:
        return None

    async def publish(self, writes: Sequence[Write], *, room: int | None) -> list[Position]:
        now = self._now()
        positions: dict[int, Position] = {}
        first: dict[bytes, int] = {}
        for index, write in enumerate(writes):
            if write.mark is None:
                continue
            known = self._recent.get(write.mark, now=now)
            earlier = known or writes[first.setdefault(write.mark, index)]
            if earlier.fingerprint != write.fingerprint:
                raise EventIdReusedError(index)
            if known is not None:
                positions[index] = Position(known.partition, known.offset)
        fresh = [
            index
            for index, write in enumerate(writes)
            if index not in positions and (write.mark is None or first[write.mark] == index)
        ]
        if room is not None and fresh and sum(await self.unfinished()) + len(fresh) > room:
            raise queue_full(room)
        for index in fresh:
            mark, fingerprint = writes[index].mark, writes[index].fingerprint
            positions[index] = position = self._put("events", writes[index])
            if mark is not None:
                self._recent.remember(mark, Published(fingerprint, *position, now))
        await self._notify()
        return [
            positions[first.get(write.mark or b"", index)] for index, write in enumerate(writes)
        ]

    async def events(
        self, partition: int, after: int, limit: int, *, wait_s: float
    ) -> Sequence[Record]:
        held = self._records["events", partition]
        if not await self._wait_for(lambda: next(reversed(held), -1) > after, wait_s):
            return []
        return self._slice("events", partition, after + 1, limit)

    async def finish(self, partition: int, offsets: Sequence[int]) -> None:
        for offset in offsets:
            self._records["events", partition].pop(offset, None)

    async def unfinished(self) -> Sequence[int]:
        return [len(self._records["events", one]) for one in range(self.partitions)]

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        for write in writes:
            self._put(log, write)
            held = self._records[log, write.partition]
            while keep is not None and len(held) > keep:
                held.popitem(last=False)

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        end = self._ends[log, partition]
        return next(iter(self._records[log, partition]), end), end

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        return self._slice(log, partition, start, limit)

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        held = self._records[log, partition]
        old = list(takewhile(lambda offset: held[offset].timestamp_ms < before_ms, held))
        for offset in old:
            del held[offset]
        if log == "dead-letters":
            self._settled[partition].difference_update(old)

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        self._settled[partition].update(offsets)
        self._put("replays", Write(partition, None, entry))

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        settled = self._settled[partition]
        todo = [(offset, write) for offset, write in letters if offset not in settled]
        for offset, write in todo:
            settled.add(offset)
            self._put("events", write)
        self._put("replays", Write(partition, None, entry))
        await self._notify()
        return len(todo)

    async def documents(self) -> Documents:
        return Documents(self._version, dict(self._documents), is_all=True)

    async def changes(self, since: int, *, wait_s: float) -> Documents:
        if not await self._wait_for(lambda: self._version > since, wait_s):
            return Documents(since, {}, is_all=False)
        missed = self._version - since
        if missed > len(self._changed):
            return await self.documents()
        names = list(self._changed)[-missed:]
        return Documents(
            self._version, {name: self._documents.get(name) for name in names}, is_all=False
        )

    async def document(self, customer_id: str) -> bytes | None:
        return self._documents.get(customer_id)

    async def change(
        self, customer_id: str, before: bytes | None, after: bytes | None, notice: Write | None
    ) -> int | None:
        if self._documents.get(customer_id) != before:
            return None
        if after is None:
            self._documents.pop(customer_id, None)
        else:
            self._documents[customer_id] = after
        if notice is not None:
            self._put("events", notice)
        self._version += 1
        self._changed.append(customer_id)
        await self._notify()
        return self._version

    def contents(self) -> Contents:
        """Return the contents, for the spool; records of a partition are in offset order."""
        records = [record for held in self._records.values() for record in held.values()]
        return Contents(self.partitions, self._documents, records, self._settled)

    def restore(self, contents: Contents) -> None:
        """Load the contents of a store with the same number of partitions."""
        self._documents = contents.documents
        self._version = 1
        for record in contents.records:
            self._records[record.topic, record.partition][record.offset] = record
            self._ends[record.topic, record.partition] = record.offset + 1
        self._settled = contents.settled

    def _put(self, topic: str, write: Write) -> Position:
        offset = self._ends[topic, write.partition]
        self._ends[topic, write.partition] += 1
        self._records[topic, write.partition][offset] = Record(
            topic,
            write.partition,
            offset,
            write.key,
            write.value,
            write.headers,
            round(self._now() * 1000) if write.timestamp_ms is None else write.timestamp_ms,
        )
        return Position(write.partition, offset)

    def _slice(self, topic: str, partition: int, start: int, limit: int) -> list[Record]:
        held, end = self._records[topic, partition], self._ends[topic, partition]
        first = max(start, next(iter(held), end))
        found = (held[offset] for offset in range(first, end) if offset in held)
        return list(islice(found, limit))

    async def _wait_for(self, is_there: Callable[[], bool], wait_s: float) -> bool:
        if not is_there():
            try:
                async with asyncio.timeout(wait_s), self._news:
                    await self._news.wait_for(is_there)
            except TimeoutError:
                return False
        return True

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()
