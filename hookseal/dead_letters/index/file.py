"""The SQLite file of an index. Rows and read positions change in one transaction."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import zlib
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from aiokafka import TopicPartition

from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from aiokafka import ConsumerRecord

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

# SQLite and Python raise these for a value that a table cannot hold. Other errors are the disk's.
_UNSTORABLE = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
_THREADS = 3
_BUSY_TIMEOUT_S = 30.0
_CACHE_KIB = 16 * 1024
_FINGERPRINT_BYTES = 256
_CACHED_TEXTS = 50_000
# Of the schema. A file of another version is deleted and built again.
_VERSION = 1002

SCHEMA = """
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL,
    next INTEGER NOT NULL, last INTEGER, fingerprint INTEGER,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
"""


ID_OF = "(SELECT id FROM texts WHERE text = ?)"
"""SQL: the id of a bound string; NULL if no row has the string."""


class IndexChangedError(Exception):
    """Another process reset the index. Read on from its new position."""


class ReadPosition(NamedTuple):
    """The offset to read next; offset and fingerprint of the last record, if there was one.

    A recreated topic has another record at the last offset.
    """

    next: int
    last: int | None
    fingerprint: int | None


class Batch(NamedTuple):
    """Records of one partition, and the read positions before and after them."""

    tp: TopicPartition
    start: int
    next: int
    records: Sequence[ConsumerRecord]


class Source(ABC):
    """Turns the records of one topic into rows. Repeated strings are stored once, by id."""

    table: ClassVar[str]
    schema: ClassVar[str]
    rows_max: int | None = None
    """Records kept over all partitions; None = all records of the topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._text_ids: dict[str, int] = {}

    @abstractmethod
    def insert(self, connection: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
        """Insert the rows of the records."""

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete the rows of records below the offset; None = all rows."""
        connection.execute(
            f"DELETE FROM {self.table} WHERE partition = ? AND offset < ?",  # noqa: S608 - a constant
            (partition, 2**63 - 1 if offset is None else offset),
        )

    def clear_cache(self) -> None:
        """Forget the ids of strings: those of a transaction that was rolled back do not exist."""
        self._text_ids.clear()

    def text_id(self, connection: sqlite3.Connection, text: str | None) -> int | None:
        """Return the id of a string; create one if it has none."""
        if text is None:
            return None
        found = self._text_ids.get(text)
        if found is None:
            connection.execute("INSERT OR IGNORE INTO texts (text) VALUES (?)", (text,))
            (found,) = connection.execute("SELECT id FROM texts WHERE text = ?", (text,)).fetchone()
            if len(self._text_ids) >= _CACHED_TEXTS:
                self._text_ids.clear()
            self._text_ids[text] = found
        return found


class IndexFile:
    """Rows and read positions of topics. Processes on one disk may share the file.

    Every method that reads or writes raises `ConfigurationError` `index_unusable` if it cannot.
    """

    def __init__(self, path: Path, sources: Iterable[Source]) -> None:
        self.sources = {source.topic: source for source in sources}
        self._path = path
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hookseal-index")
        # Each thread has its own connection.
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    async def create(self) -> None:
        """Create the file; replace it if it is damaged or of another version."""

        def create() -> None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_current():
                self._delete()
            # For this user only, whatever the umask. SQLite's other files get the same mode.
            self._path.touch(0o600)
            self._path.chmod(0o600)
            with self._transaction() as connection:
                connection.execute(f"PRAGMA user_version = {_VERSION}")

        await self._run(create)

    def close(self) -> None:
        """Wait for reads and writes in progress, then close the file."""
        self._threads.shutdown(wait=True)
        self._disconnect()

    async def fetch(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """Return the rows of a query."""
        return await self._run(lambda: self._connection().execute(statement, values).fetchall())

    async def positions(self) -> dict[TopicPartition, ReadPosition]:
        """Return the read position of each partition."""
        rows = await self.fetch("SELECT topic, partition, next, last, fingerprint FROM positions")
        return {TopicPartition(*row[:2]): ReadPosition(*row[2:]) for row in rows}

    async def restart(self, tp: TopicPartition, offset: int) -> None:
        """Delete the rows of this partition, and read it from the offset."""

        def write(connection: sqlite3.Connection) -> None:
            self.sources[tp.topic].drop_below(connection, tp.partition, None)
            connection.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, NULL, NULL)", (*tp, offset)
            )

        await self._write(write)

    async def insert(self, batches: Sequence[Batch]) -> None:
        """Insert rows and read positions in one transaction; skip records that the file has.

        Raises:
            IndexChangedError: The read position in the file is before the start of a batch.
        """

        def write(connection: sqlite3.Connection) -> None:
            for batch in batches:
                self._insert(connection, batch)

        await self._write(write)

    async def drop_below(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Delete the rows of records below the offset of their partition."""

        def write(connection: sqlite3.Connection) -> None:
            for tp, offset in offsets.items():
                self.sources[tp.topic].drop_below(connection, tp.partition, offset)

        await self._write(write)

    async def _write(self, change: Callable[[sqlite3.Connection], None]) -> None:
        def write() -> None:
            with self._transaction() as connection:
                change(connection)

        await self._run(write)

    async def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(
                "index_unusable",
                f"The index file cannot be used ({type(error).__name__}). Check that the folder is "
                "writable and has free space. You may delete the file: hookseal builds it again.",
                field="HOOKSEAL_DATA_DIR",
            ) from error

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA journal_mode = WAL")
            # Rows that a power failure loses are read from the topic again.
            found.execute("PRAGMA synchronous = NORMAL")
            found.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._local.connection = found
            with self._lock:
                self._opened.append(found)
        return found

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            # In each transaction, because another process may have deleted the tables.
            for schema in (SCHEMA, *(source.schema for source in self.sources.values())):
                for statement in filter(str.strip, schema.split(";")):
                    connection.execute(statement)
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            for source in self.sources.values():
                source.clear_cache()
            raise
        connection.execute("COMMIT")

    def _insert(self, connection: sqlite3.Connection, batch: Batch) -> None:
        tp = batch.tp
        found = connection.execute(
            "SELECT next FROM positions WHERE topic = ? AND partition = ?", tp
        ).fetchone()
        if found is None or found[0] < batch.start:
            raise IndexChangedError
        if found[0] >= batch.next:
            return
        connection.execute(
            "UPDATE positions SET next = ? WHERE topic = ? AND partition = ?", (batch.next, *tp)
        )
        records = [record for record in batch.records if record.offset >= found[0]]
        if records:
            self._insert_records(connection, tp.topic, records)
            last = (records[-1].offset, fingerprint(records[-1]))
            connection.execute(
                "UPDATE positions SET last = ?, fingerprint = ? WHERE topic = ? AND partition = ?",
                (*last, *tp),
            )

    def _insert_records(
        self, connection: sqlite3.Connection, topic: str, records: Sequence[ConsumerRecord]
    ) -> None:
        """Insert the records; skip those that no table can hold."""
        source = self.sources[topic]
        try:
            source.insert(connection, records)
        except _UNSTORABLE:
            for record in records:
                try:
                    source.insert(connection, (record,))
                except _UNSTORABLE as error:
                    _log.warning(
                        "A record of %s cannot be indexed: partition %d, offset %d (%s).",
                        topic,
                        record.partition,
                        record.offset,
                        type(error).__name__,
                    )

    def _is_current(self) -> bool:
        if not self._path.exists():
            return True
        try:
            version = self._connection().execute("PRAGMA user_version").fetchone()[0]
            self._connection().execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # Locked, no space, no permission: the content is not damaged.
            raise
        except sqlite3.DatabaseError:
            return False
        return version in (0, _VERSION)

    def _delete(self) -> None:
        self._disconnect()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()

    def _disconnect(self) -> None:
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
            self._local = threading.local()


def fingerprint(record: ConsumerRecord) -> int:
    """Return a number that differs for another record at the same offset."""
    content = (record.key or b"") + (record.value or b"")[:_FINGERPRINT_BYTES]
    return (int(record.timestamp) << 32 | zlib.crc32(content)) & 0x7FFF_FFFF_FFFF_FFFF
