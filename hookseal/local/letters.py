"""Dead letters of a store: write, look up, defer, replay."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hookseal.dead_letters.lookup import is_attempt_before
from hookseal.dead_letters.replay.items import batches, letter_items, plan_of, to_replay
from hookseal.delivery.ports import DeferredPage
from hookseal.domain.attempt import decode
from hookseal.domain.dead_letter import added_headers
from hookseal.domain.letter_filter import AttemptFilter
from hookseal.domain.replay import DrainedEntry, ReplayEntry, encode
from hookseal.errors import BrokerError, ConflictError
from hookseal.kafka.producer import REQUEST_MAX_BYTES
from hookseal.local.store import Write, record_at, retry_forever

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.dead_letters.replay import EventsWanted
    from hookseal.delivery.ports import Clock
    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.letter import ReplayPlan
    from hookseal.domain.letter_filter import LetterFilter
    from hookseal.domain.record import Record
    from hookseal.local.index import LocalAttempts, LocalLetters
    from hookseal.local.store import Store
    from hookseal.telemetry.observer import Observer

# Limits of one page of deferred events.
_LETTERS_MAX = 100
_BYTES_MAX = 1024 * 1024
_RECORDS_MAX = 5_000
_READ = 500
_REPLAY_MAX = 200
_ATTEMPTS_MAX = 100


class LocalDeadLetters:
    """`DeadLetters` in a store."""

    def __init__(self, store: Store, observer: Observer, clock: Clock) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock

    async def bury(self, letter: DeadLetter) -> None:
        await self.bury_all([letter])

    async def bury_all(self, letters: Sequence[DeadLetter]) -> None:
        failures = 0

        def failed(error: Exception) -> None:
            nonlocal failures
            failures += 1
            if failures == 1 and not isinstance(error, BrokerError):
                self._observer.crashed(letters[0].event_id, error)
            self._observer.bury_failed(failures)

        async def append() -> None:
            writes = [
                Write(letter.record.partition, *letter.fitted(REQUEST_MAX_BYTES))
                for letter in letters
            ]
            await self._store.append("dead-letters", writes)

        try:
            # Retry unexpected errors, too: they must neither lose the dead letter nor stop the
            # partition without an alarm.
            await retry_forever(append, self._clock, failed, retried=Exception)
        finally:
            if failures:
                self._observer.bury_ended()
        for letter in letters:
            self._observer.buried(letter)


class LocalDeferredEvents:
    """`DeferredEventStore` in a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def end(self, partition: int) -> int:
        return (await self._store.bounds("dead-letters", partition))[1]

    async def read(
        self, partition: int, start: int, end: int, wanted: Callable[[Record], bool]
    ) -> DeferredPage:
        letters: list[Record] = []
        position, seen, size = start, 0, 0
        while position < end and seen < _RECORDS_MAX:
            found = await self._store.read("dead-letters", partition, position, _READ)
            if not found:
                return DeferredPage(letters, end)
            for record in found:
                if record.offset >= end:
                    return DeferredPage(letters, end)
                position = record.offset + 1
                seen += 1
                if wanted(record):
                    letters.append(record)
                    size += len(record.value or b"")
                    if len(letters) >= _LETTERS_MAX or size >= _BYTES_MAX:
                        return DeferredPage(letters, position)
        return DeferredPage(letters, min(position, end))

    async def settle(self, partition: int, letters: Sequence[Record]) -> None:
        entry = encode(DrainedEntry([(one.offset, one.timestamp_ms) for one in letters]))
        offsets = [letter.offset for letter in letters]
        await retry_forever(lambda: self._store.settle(partition, offsets, entry), self._clock)


class LocalLetterRecords:
    """`LetterRecords` of a store."""

    def __init__(self, store: Store, attempts: LocalAttempts) -> None:
        self._store = store
        self._attempts = attempts

    async def get(self, partition: int, offset: int) -> Record | None:
        if partition >= self._store.partitions:
            return None
        return await record_at(self._store, partition, offset)

    async def attempts(self, letter: Record) -> Sequence[AttemptRecord]:
        added = added_headers(letter.headers)
        if letter.key is None or "event-id" not in added or "endpoint-id" not in added:
            return []
        await self._attempts.catch_up()
        page = await self._attempts.page(
            AttemptFilter(
                customer_id=letter.key.decode("utf-8", "replace"),
                event_id=added["event-id"],
                endpoint_id=added["endpoint-id"],
            ),
            limit=_ATTEMPTS_MAX,
        )
        found: list[AttemptRecord] = []
        for one in reversed(page.attempts):
            for record in await self._store.read("deliveries", one.partition, one.offset, 1):
                attempt = decode(record.value or b"")
                if attempt is not None and is_attempt_before(attempt, letter):
                    found.append(attempt)
        return found


class LocalReplays:
    """`Replays` in a store; concurrent requests replay each letter once."""

    def __init__(self, store: Store, index: LocalLetters) -> None:
        self._store = store
        self._index = index

    async def plan(self, wanted: LetterFilter) -> ReplayPlan:
        return await plan_of(self._index, wanted)

    async def replay(
        self,
        wanted: LetterFilter,
        *,
        limit: int | None = None,
        wait_s: float | None = None,  # noqa: ARG002 - there is no lease to wait for
    ) -> int:
        """Publish the dead letters' events again; return how many were published.

        Args:
            wanted: Which letters; those that were replayed already are passed over.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        todo = to_replay(wanted)
        await self._index.catch_up()
        most, done = _REPLAY_MAX, 0
        for partition in sorted(await self._index.counts(todo)):
            after = -1
            _, end = await self._store.bounds("dead-letters", partition)
            while room := most if limit is None else min(most, limit - done):
                expected = await self._index.offsets(
                    todo, partition, after=after, before=end, limit=room
                )
                if not expected:
                    break
                records = [await record_at(self._store, partition, offset) for offset in expected]
                items = letter_items([one for one in records if one is not None], expected)
                for batch in batches(items):
                    now_ms = round(time.time() * 1000)
                    replayed = [(item.offset, item.timestamp_ms) for item in batch]
                    done += await self._store.replay(
                        partition,
                        [
                            (item.offset, Write(partition, item.key, item.value, item.headers))
                            for item in batch
                        ],
                        encode(ReplayEntry("", now_ms, 0, released=True, replayed=replayed)),
                    )
                after = max(expected)
        await self._index.catch_up()
        return done

    async def replay_events(
        self,
        wanted: EventsWanted,  # noqa: ARG002
        *,
        start: int = 0,  # noqa: ARG002
        limit: int,  # noqa: ARG002
        wait_s: float | None = None,  # noqa: ARG002
    ) -> tuple[int, int | None]:
        """Raise `replay_unsupported`."""
        raise ConflictError(
            "replay_unsupported",
            "A runtime without Kafka does not keep accepted events. Replay dead letters instead.",
        )
