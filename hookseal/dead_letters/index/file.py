"""The SQLite file of an index. Positions and rows change in one transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from aiokafka import ConsumerRecord

_log = logging.getLogger(__name__)

# What SQLite and Python raise for a value that a table cannot hold; other errors are the disk's.
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
_BUSY_S = 30.0
_CACHE_KIB = 16 * 1024
_FINGERPRINT_BYTES = 256
# Of the parts that every index has.
_VERSION = 1

_POSITIONS = """
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    last INTEGER,
    fingerprint INTEGER,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
"""


class Behind(Exception):  # noqa: N818 - neither an error nor shown to anybody
    """Another process reset the index: read from its position again."""


class Known(NamedTuple):
    """Progress of one partition in the index.

    Attributes:
        next: The offset to read next.
        last: The offset of the last record that was read, if there was any.
        fingerprint: Of that record. A topic that was created again has another one there.
    """

    next: int
    last: int | None
    fingerprint: int | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in their order.

    Attributes:
        topic: The topic's name, prefix included.
        partition: Counted from 0.
        start: The position before them.
        next: The position behind them, and behind what is no record (a marker).
        records: As the client brings them.
    """

    topic: str
    partition: int
    start: int
    next: int
    records: Sequence[ConsumerRecord]


class Source(Protocol):
    """How the records of one topic become rows of an index."""

    topic: str
    schema: str
    rows_max: int | None
    """Records kept, over all partitions; None = all that the topic has."""

    def take(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Insert the rows of the records."""
        ...

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete the rows of records below the offset; None = all rows."""
        ...

    def forget(self) -> None:
        """Clear the cache of the file's content: a transaction was rolled back."""
        ...


class IndexFile:
    """Blocking. Call it from threads; each thread gets its own connection."""

    def __init__(self, path: Path, version: int, sources: Iterable[Source]) -> None:
        """Use the file at `path`. A file of another schema `version` is deleted."""
        self._path = path
        self._version = version * 1000 + _VERSION
        self._sources = {source.topic: source for source in sources}
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def make(self) -> None:
        """Create the file; replace it if it is unusable.

        Raises:
            ConfigurationError: `index_unusable`.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._fits():
                self._remove()
            with self._writing() as connection:
                connection.execute(f"PRAGMA user_version = {self._version}")
        except (sqlite3.Error, OSError) as error:
            raise self.unusable(error) from error

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()
            self._local = threading.local()

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA journal_mode = WAL")
            # Derived: what a power cut undoes is read again.
            found.execute("PRAGMA synchronous = NORMAL")
            found.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._local.connection = found
            with self._lock:
                self._opened.append(found)
        return found

    def positions(self, topic: str) -> dict[int, Known]:
        """Return the progress of each partition of the topic."""
        rows = self.connection().execute(
            "SELECT partition, next, last, fingerprint FROM positions WHERE topic = ?", (topic,)
        )
        return {partition: Known(*known) for partition, *known in rows}

    def begin(self, topic: str, partition: int, offset: int) -> None:
        """Read this partition from the offset; delete its rows."""
        with self._writing() as connection:
            self._sources[topic].drop_below(connection, partition, None)
            connection.execute(
                "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, NULL, NULL)",
                (topic, partition, offset),
            )

    def take(self, batches: Sequence[Batch]) -> None:
        """Insert records and positions in one transaction.

        Processes that share the file may do this at the same time. Records that it already has are
        skipped.

        Raises:
            Behind: The file is not where the batch begins.
        """
        with self._writing() as connection:
            for batch in batches:
                self._take(connection, batch)

    def drop_below(self, topic: str, offsets: dict[int, int]) -> None:
        """Delete the rows of records that their topic no longer has."""
        with self._writing() as connection:
            for partition, offset in offsets.items():
                self._sources[topic].drop_below(connection, partition, offset)

    def unusable(self, error: Exception) -> ConfigurationError:
        """Return our error for an error of the disk or of SQLite."""
        return ConfigurationError(
            "index_unusable",
            f"The index cannot be used ({type(error).__name__}); check that the folder can be "
            "written to and has room. It may be deleted: it is read from Kafka again.",
            field="HOOKSEAL_DATA_DIR",
        )

    def _take(self, connection: sqlite3.Connection, batch: Batch) -> None:
        found = connection.execute(
            "SELECT next FROM positions WHERE topic = ? AND partition = ?",
            (batch.topic, batch.partition),
        ).fetchone()
        if found is None or found[0] < batch.start:
            raise Behind
        if found[0] >= batch.next:
            return
        records = [record for record in batch.records if record.offset >= found[0]]
        source = self._sources[batch.topic]
        if records:
            self._enter(
                connection,
                source,
                Batch(batch.topic, batch.partition, found[0], batch.next, records),
            )
            last = records[-1]
            connection.execute(
                "UPDATE positions SET next = ?, last = ?, fingerprint = ? "
                "WHERE topic = ? AND partition = ?",
                (batch.next, last.offset, fingerprint(last), batch.topic, batch.partition),
            )
        else:
            connection.execute(
                "UPDATE positions SET next = ? WHERE topic = ? AND partition = ?",
                (batch.next, batch.topic, batch.partition),
            )

    @staticmethod
    def _enter(connection: sqlite3.Connection, source: Source, batch: Batch) -> None:
        """Insert the records; skip those that no table can hold."""
        try:
            source.take(connection, batch)
        except _UNSTORABLE:
            for record in batch.records:
                try:
                    source.take(connection, replace(batch, records=(record,)))
                except _UNSTORABLE as error:
                    _log.warning(
                        "A record of %s cannot be indexed: partition %d, offset %d (%s).",
                        batch.topic,
                        batch.partition,
                        record.offset,
                        type(error).__name__,
                    )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Here, since another process may have thrown the file's content away.
            for statement in (_POSITIONS, *(one.schema for one in self._sources.values())):
                for part in filter(str.strip, statement.split(";")):
                    connection.execute(part)
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            for source in self._sources.values():
                source.forget()
            raise
        connection.execute("COMMIT")

    def _fits(self) -> bool:
        if not self._path.exists():
            return True
        try:
            version = self.connection().execute("PRAGMA user_version").fetchone()[0]
            self.connection().execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # Locked, no room, no right: its content is not at fault.
            raise
        except sqlite3.DatabaseError:
            return False
        return version in (0, self._version)

    def _remove(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()


def fingerprint(record: ConsumerRecord) -> int:
    """Return a number that differs for another record at the same offset."""
    content = (record.key or b"") + (record.value or b"")[:_FINGERPRINT_BYTES]
    return (int(record.timestamp) << 32 | zlib.crc32(content)) & 0x7FFF_FFFF_FFFF_FFFF
