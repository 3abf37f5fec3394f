"""Dead letters in a store: buried, read back, settled, replayed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hookseal.dead_letters.lookup import is_attempt_before
from hookseal.dead_letters.replay.items import letter_items
from hookseal.dead_letters.replay.pace import Pace
from hookseal.dead_letters.replay.plan import plan_of, to_replay
from hookseal.delivery.ports import DeferredPage
from hookseal.domain.attempt import decode
from hookseal.domain.dead_letter import added_headers
from hookseal.domain.replay import DrainedEntry, ReplayEntry, encode
from hookseal.errors import BrokerError
from hookseal.kafka.producer import REQUEST_MAX_BYTES
from hookseal.local.retry import retry_forever
from hookseal.local.store import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.attempt import AttemptRecord
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.letter import ReplayPlan
    from hookseal.domain.letter_filter import LetterFilter
    from hookseal.domain.record import Record
    from hookseal.local.index import LocalAttempts, LocalLetters
    from hookseal.local.store import Store

_LETTERS_MAX = 100
_BYTES_MAX = 1024 * 1024
_RECORDS_MAX = 5_000
_READ = 500
_REPLAYED_AT_A_TIME = 200
_ATTEMPTS_MAX = 100


class LocalDeadLetters:
    """`DeadLetters` in a store.

    The owner starts the store.
    """

    def __init__(self, store: Store, observer: Observer, clock: Clock) -> None:
        self._store = store
        self._observer = observer
        self._clock = clock

    async def bury(self, letter: DeadLetter) -> None:
        failures = 0

        def failed(error: Exception) -> None:
            nonlocal failures
            failures += 1
            if failures == 1 and not isinstance(error, BrokerError):
                self._observer.crashed(letter.event_id, error)
            self._observer.bury_failed(failures)

        async def append() -> None:
            key, value, headers = letter.fitted(REQUEST_MAX_BYTES)
            write = Write(letter.record.partition, key, value, headers)
            await self._store.append("dead-letters", [write])

        try:
            # The last resort: an error that nobody expected must not lose the letter, nor end
            # the partition without an alarm.
            await retry_forever(append, self._clock, failed, retried=Exception)
        finally:
            if failures:
                self._observer.bury_ended()
        self._observer.buried(letter)


class LocalDeferredEvents:
    """`DeferredEventStore` in a store.

    The owner starts the store.
    """

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
        """Prepare; store and index are started by their owner."""
        self._store = store
        self._attempts = attempts

    async def get(self, partition: int, offset: int) -> Record | None:
        """Return the dead letter at this offset, or None.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        if partition >= self._store.partitions:
            return None
        found = await self._store.read("dead-letters", partition, offset, 1)
        return found[0] if found and found[0].offset == offset else None

    async def attempts(self, letter: Record) -> Sequence[AttemptRecord]:
        """Return the attempts before a letter, oldest first.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        added = added_headers(letter.headers)
        if letter.key is None or "event-id" not in added or "endpoint-id" not in added:
            return []
        await self._attempts.catch_up()
        page = await self._attempts.page(
            letter.key.decode("utf-8", "replace"),
            event_id=added["event-id"],
            endpoint_id=added["endpoint-id"],
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
    """`Replays` in a store; concurrent requests replay each letter once.

    The owner starts store and index.
    """

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
        per_s: float | None = None,
        wait_s: float | None = None,  # noqa: ARG002 - there is no lease to wait for
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Publish the letters' events again; return how many were published.

        Args:
            wanted: Which letters; those that were replayed already are passed over.
            per_s: Rate limit in events/s; None = no limit.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        todo = to_replay(wanted)
        await self._index.catch_up()
        pace, done = Pace(per_s), 0
        most = _REPLAYED_AT_A_TIME if per_s is None else max(1, min(int(per_s), 200))
        for partition in sorted(await self._index.counts(todo)):
            after = -1
            _, end = await self._store.bounds("dead-letters", partition)
            while room := most if limit is None else min(most, limit - done):
                places = await self._index.places(
                    todo, partition, after=after, before=end, limit=room
                )
                if not places:
                    break
                records = [await self._at(partition, offset) for offset, _ in places]
                items = letter_items([one for one in records if one is not None], dict(places))
                for batch in items.batches():
                    await pace.take(len(batch))
                    now_ms = round(time.time() * 1000)
                    replayed = [(item.offset, item.timestamp_ms) for item in batch]
                    published = await self._store.replay(
                        partition,
                        [
                            (item.offset, Write(partition, item.key, item.value, item.headers))
                            for item in batch
                        ],
                        encode(ReplayEntry("", now_ms, 0, released=True, replayed=replayed)),
                    )
                    done += published
                    on_progress(published)
                after = places[-1][0]
        await self._index.catch_up()
        return done

    async def _at(self, partition: int, offset: int) -> Record | None:
        found = await self._store.read("dead-letters", partition, offset, 1)
        return found[0] if found and found[0].offset == offset else None
