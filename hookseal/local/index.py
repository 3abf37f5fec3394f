"""The lists of dead letters and attempts of a store, in SQLite as those of Kafka's topics."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiokafka import TopicPartition

from hookseal.dead_letters.index.attempts import AttemptQueries, AttemptSource
from hookseal.dead_letters.index.file import Batch, IndexFile
from hookseal.dead_letters.index.letter_sources import LetterSource, ReplaySource
from hookseal.dead_letters.index.letters import LetterQueries
from hookseal.errors import BrokerError
from hookseal.kafka.topics import TopicNames
from hookseal.local.attempts import ATTEMPTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from hookseal.dead_letters.index.file import Source
    from hookseal.domain.record import Headers, Record
    from hookseal.local.store import Log, Store

_log = logging.getLogger(__name__)

_NAMES = TopicNames()
_AT_A_TIME = 1_000
_PAUSE_S = 0.5
_TIDY_EVERY = 60


class _Entry(NamedTuple):
    """A record with the attribute names of Kafka's client, which the index reads."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class _StoreIndex:
    """An index file that follows the logs of a store: on request and periodically."""

    def __init__(self, store: Store, path: Path, sources: Iterable[Source]) -> None:
        self.file = IndexFile(path, sources)
        self._store = store
        self._logs = [cast("Log", topic) for topic in self.file.sources]
        self._at: dict[TopicPartition, int] = {}
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, patient: bool = False) -> None:
        await self.file.create()
        if not patient:
            await self._read_on()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self.file.close()

    async def catch_up(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,  # noqa: ARG002
        at_least: Mapping[TopicPartition, int] | None = None,  # noqa: ARG002
    ) -> None:
        """Read everything that is in the store now.

        Raises:
            BrokerError: `redis_unreachable`; `index_behind` after `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._read_on()
        except TimeoutError:
            raise BrokerError(
                "index_behind", "The index is still being read; ask again in a few seconds."
            ) from None

    async def ends(self) -> dict[TopicPartition, int]:
        return {
            TopicPartition(log, one): (await self._store.bounds(log, one))[1]
            for log in self._logs
            for one in range(self._store.partitions)
        }

    async def _follow(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(_PAUSE_S)
            rounds += 1
            try:
                await self._read_on()
                if rounds % _TIDY_EVERY == 0:
                    await self._tidy()
            except BrokerError as error:
                _log.warning("The index waits: %s", error.code)
            except Exception:  # noqa: BLE001 - the waiting callers get it; the next turn retries
                _log.exception("The index cannot be written.")

    async def _read_on(self) -> None:
        # Shielded: a write in a thread continues after its caller is cancelled, and its position
        # must be recorded.
        await asyncio.shield(asyncio.ensure_future(self._read_all()))

    async def _read_all(self) -> None:
        async with self._reading:
            for place, end in (await self.ends()).items():
                at = self._at.get(place)
                if at is None or at > end:
                    # New, or the store was emptied under us.
                    at = (await self._store.bounds(cast("Log", place.topic), place.partition))[0]
                    await self.file.restart(place, at)
                    self._at[place] = at
                while self._at[place] < end:
                    await self._take_some(place)

    async def _take_some(self, place: TopicPartition) -> None:
        at = self._at[place]
        log = cast("Log", place.topic)
        found = await self._store.read(log, place.partition, at, _AT_A_TIME)
        if found:
            behind = found[-1].offset + 1
        else:
            _, behind = await self._store.bounds(log, place.partition)
        entries = cast("Any", [_entry(record) for record in found])
        batch = Batch(place, at, behind, entries)
        await self.file.insert([batch])
        self._at[place] = behind

    async def _tidy(self) -> None:
        starts = {
            TopicPartition(log, one): (await self._store.bounds(log, one))[0]
            for log in self._logs
            for one in range(self._store.partitions)
        }
        await self.file.drop_below(starts)


class LocalLetters(_StoreIndex, LetterQueries):
    """`LetterPages` of a store. The file in `folder` is built again at each start."""

    def __init__(self, store: Store, folder: Path) -> None:
        sources = (LetterSource(_NAMES.dead_letters), ReplaySource(_NAMES.replays))
        super().__init__(store, folder / "dead-letters.sqlite", sources)


class LocalAttempts(_StoreIndex, AttemptQueries):
    """`AttemptPages` of a store. The file in `folder` is built again at each start."""

    def __init__(self, store: Store, folder: Path) -> None:
        source = AttemptSource(_NAMES.deliveries, ATTEMPTS_MAX)
        super().__init__(store, folder / "deliveries.sqlite", (source,))


def _entry(record: Record) -> _Entry:
    return _Entry(
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        record.headers,
    )
