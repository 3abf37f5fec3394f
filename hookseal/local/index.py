"""Indexes of the dead letters and attempts of a store, in SQLite as those of Kafka's topics."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from aiokafka import TopicPartition
from msgspec import structs

from hookseal.dead_letters.index.attempts import Attempts
from hookseal.dead_letters.index.file import Batch
from hookseal.dead_letters.index.letters import Letters
from hookseal.errors import BrokerError
from hookseal.kafka.topics import TopicNames
from hookseal.local.attempts import ATTEMPTS_MAX
from hookseal.local.jobs import cancel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hookseal.dead_letters.index.file import IndexFile, Source
    from hookseal.local.store import Log, Store

_log = logging.getLogger(__name__)

_NAMES = TopicNames()
_AT_A_TIME = 1_000
_PAUSE_S = 0.5
# Rounds between two deletions of expired rows: 30 s.
_TIDY_EVERY = 60

_T = TypeVar("_T")


class LocalLetters(Letters):
    """`LetterPages` of a store; the index file in `folder` is rebuilt at each start."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(folder / "dead-letters.sqlite", _NAMES, partial(_Follower, store))


class LocalAttempts(Attempts):
    """`AttemptPages` of a store; the index file in `folder` is rebuilt at each start."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(
            folder / "deliveries.sqlite", _NAMES, partial(_Follower, store), rows_max=ATTEMPTS_MAX
        )


class _Follower:
    """Follows the logs of a store, on request and periodically."""

    def __init__(self, store: Store, file: IndexFile, sources: Sequence[Source]) -> None:
        self._store = store
        self._file = file
        self._logs = [cast("Log", source.topic) for source in sources]
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hookseal-index")
        self._next: dict[tuple[Log, int], int] = {}
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, patient: bool = False) -> None:
        await self.run(self._file.make)
        if not patient:
            await self._read_on()
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        await cancel(self._task)
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
        on_progress: Callable[[int, int], None] = lambda *_: None,  # noqa: ARG002
        at_least: Mapping[TopicPartition, int] | None = None,  # noqa: ARG002
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._read_on()
        except TimeoutError:
            raise BrokerError(
                "index_behind", "The index is still being read. Retry in a few seconds."
            ) from None

    async def ends(self) -> dict[TopicPartition, int]:
        return {
            TopicPartition(log, partition): (await self._store.bounds(log, partition))[1]
            for log in self._logs
            for partition in range(self._store.partitions)
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
                _log.warning("The index waits for the store: %s", error.code)
            except Exception:  # noqa: BLE001 - queries raise it, and the next round retries
                _log.exception("The index cannot be written.")

    async def _read_on(self) -> None:
        # Shielded: a write in a thread continues after its caller is cancelled, and its offset
        # must be recorded.
        await asyncio.shield(asyncio.ensure_future(self._read_all()))

    async def _read_all(self) -> None:
        async with self._reading:
            for log in self._logs:
                for partition in range(self._store.partitions):
                    start, end = await self._store.bounds(log, partition)
                    at = self._next.get((log, partition))
                    if at is None or at > end:
                        # The index is new, or the store was emptied meanwhile.
                        await self.run(partial(self._file.begin, log, partition, start))
                        at = self._next[log, partition] = start
                    while at < end:
                        at = self._next[log, partition] = await self._read_some(log, partition, at)

    async def _read_some(self, log: Log, partition: int, start: int) -> int:
        """Index some records from an offset on; return the next offset."""
        found = await self._store.read(log, partition, start, _AT_A_TIME)
        after = found[-1].offset + 1 if found else (await self._store.bounds(log, partition))[1]
        # The index reads the attribute names of Kafka's client.
        entries: Any = [
            SimpleNamespace(**structs.asdict(one), timestamp=one.timestamp_ms) for one in found
        ]
        batch = Batch(log, partition, start, after, entries)
        await self.run(partial(self._file.take, [batch]))
        return after

    async def _tidy(self) -> None:
        for log in self._logs:
            starts = {
                partition: (await self._store.bounds(log, partition))[0]
                for partition in range(self._store.partitions)
            }
            await self.run(partial(self._file.drop_below, log, starts))
