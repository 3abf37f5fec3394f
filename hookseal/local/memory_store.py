"""A store in the memory of one process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from hookseal.domain.record import Position, Record
from hookseal.errors import EventIdReusedError
from hookseal.local.store import LOGS, REPEAT_WINDOW_S, Documents, Write, queue_full
from hookseal.publishing.deduplication import Published, RecentIds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hookseal.errors import BrokerError
    from hookseal.local.store import Log

_IDS_MAX = 200_000
_CHANGES_REMEMBERED = 10_000


class _Log:
    """One partition of a log: records with consecutive offsets."""

    def __init__(self) -> None:
        self.start = 0
        self.records: deque[Record] = deque()

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    def drop(self, count: int) -> None:
        for _ in range(count):
            self.records.popleft()
        self.start += count


class MemoryStore:
    """A `Store` in the memory of this process; `now` returns seconds since the Unix epoch."""

    def __init__(self, partitions: int, *, now: Callable[[], float]) -> None:
        self.partitions = partitions
        self._now = now
        self._events: list[OrderedDict[int, Record]] = [OrderedDict() for _ in range(partitions)]
        self._ends = [0] * partitions
        self._news = asyncio.Condition()
        self._logs: dict[tuple[Log, int], _Log] = {
            (log, partition): _Log() for log in LOGS for partition in range(partitions)
        }
        self._settled: list[set[int]] = [set() for _ in range(partitions)]
        self._recent = RecentIds(ids_max=_IDS_MAX, window_s=REPEAT_WINDOW_S)
        self._documents: dict[str, bytes] = {}
        self._version = 0
        self._changed: deque[str] = deque(maxlen=_CHANGES_REMEMBERED)

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
        if room is not None and fresh and self._count() + len(fresh) > room:
            raise queue_full(room)
        for index in fresh:
            mark, fingerprint = writes[index].mark, writes[index].fingerprint
            positions[index] = position = self._put(writes[index])
            if mark is not None:
                self._recent.remember(mark, Published(fingerprint, *position, now))
        await self._notify()
        return [
            positions[first.get(write.mark or b"", index)] for index, write in enumerate(writes)
        ]

    def _put(self, write: Write) -> Position:
        offset = self._ends[write.partition]
        self._ends[write.partition] += 1
        self._events[write.partition][offset] = self._record("events", write, offset)
        return Position(write.partition, offset)

    async def events(
        self, partition: int, after: int, limit: int, *, wait_s: float
    ) -> Sequence[Record]:
        held = self._events[partition]
        if not await self._wait_for(lambda: next(reversed(held), -1) > after, wait_s):
            return []
        first = max(after + 1, next(iter(held)))
        there = (held[offset] for offset in range(first, self._ends[partition]) if offset in held)
        return list(islice(there, limit))

    async def finish(self, partition: int, offsets: Sequence[int]) -> None:
        for offset in offsets:
            self._events[partition].pop(offset, None)

    async def unfinished(self) -> Sequence[int]:
        return [len(held) for held in self._events]

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        for write in writes:
            held = self._logs[log, write.partition]
            held.records.append(self._record(log, write, held.end))
            if keep is not None and len(held.records) > keep:
                held.drop(len(held.records) - keep)

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        held = self._logs[log, partition]
        return held.start, held.end

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        held = self._logs[log, partition]
        first = max(0, start - held.start)
        return list(islice(held.records, first, first + limit))

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        held = self._logs[log, partition]
        old = takewhile(lambda record: record.timestamp_ms < before_ms, held.records)
        count = sum(1 for _ in old)
        held.drop(count)
        if log == "dead-letters" and count:
            self._settled[partition] = {
                one for one in self._settled[partition] if one >= held.start
            }

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        self._settled[partition].update(offsets)
        await self.append("replays", [Write(partition, None, entry)])

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        settled = self._settled[partition]
        todo = [(offset, write) for offset, write in letters if offset not in settled]
        for offset, write in todo:
            settled.add(offset)
            self._put(write)
        await self.append("replays", [Write(partition, None, entry)])
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
            self._put(notice)
        self._version += 1
        self._changed.append(customer_id)
        await self._notify()
        return self._version

    def left(self) -> Mapping[str, int]:
        """Return the number of unfinished events, dead letters and tenants, by name."""
        letters = (held for (log, _), held in self._logs.items() if log == "dead-letters")
        return {
            "events": self._count(),
            "dead letters": sum(len(held.records) for held in letters),
            "tenants": len(self._documents),
        }

    def all_documents(self) -> Mapping[str, bytes]:
        """Return the tenant documents by customer id, for the spool."""
        return self._documents

    def records(self) -> Sequence[Record]:
        """Return all events and log records, in offset order within a partition."""
        found = [record for held in self._events for record in held.values()]
        for held in self._logs.values():
            found.extend(held.records)
        return found

    def settled(self) -> Sequence[Sequence[int]]:
        """Return the offsets of settled dead letters, by partition."""
        return [sorted(one) for one in self._settled]

    def restore(
        self,
        documents: Mapping[str, bytes],
        records: Sequence[Record],
        settled: Sequence[Sequence[int]],
    ) -> None:
        """Load the contents of a store with the same number of partitions."""
        self._documents = dict(documents)
        self._version = 1
        by_name = {(str(log), partition): held for (log, partition), held in self._logs.items()}
        for record in records:
            if record.topic == "events":
                self._events[record.partition][record.offset] = record
                self._ends[record.partition] = record.offset + 1
                continue
            held = by_name.get((record.topic, record.partition))
            if held is None:
                continue
            if not held.records:
                held.start = record.offset
            held.records.append(record)
        self._settled = [set(one) for one in settled]

    def _record(self, topic: str, write: Write, offset: int) -> Record:
        at_ms = write.timestamp_ms
        return Record(
            topic,
            write.partition,
            offset,
            write.key,
            write.value,
            write.headers,
            round(self._now() * 1000) if at_ms is None else at_ms,
        )

    def _count(self) -> int:
        return sum(map(len, self._events))

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
