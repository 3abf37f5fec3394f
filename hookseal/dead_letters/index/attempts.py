"""Index of the delivery log: the attempts of an event or of an endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hookseal.dead_letters.index.file import IndexFile
from hookseal.dead_letters.index.follower import Follower
from hookseal.dead_letters.index.letters import file_name
from hookseal.dead_letters.index.string_table import TEXTS, StringTable, intern
from hookseal.domain.attempt import AttemptRecord, decode
from hookseal.domain.letter import Attempted, AttemptsListed
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from hookseal.dead_letters.index.file import Batch
    from hookseal.dead_letters.index.follower import Follow
    from hookseal.domain.letter import LogCursor
    from hookseal.kafka.cluster import Cluster

_VERSION = 1
_COLUMNS = """
    a.partition, a.offset, a.at,
    (SELECT text FROM texts WHERE id = a.customer), a.event_id,
    (SELECT text FROM texts WHERE id = a.type),
    (SELECT text FROM texts WHERE id = a.endpoint),
    a.attempt, a.attempt_max,
    (SELECT text FROM texts WHERE id = a.code),
    a.status, a.duration_us,
    (SELECT text FROM texts WHERE id = a.kid),
    (SELECT text FROM texts WHERE id = a.worker)
"""


class AttemptSource:
    """The topic `deliveries`."""

    schema = (
        TEXTS
        + """
CREATE TABLE IF NOT EXISTS attempts (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    at INTEGER NOT NULL,
    customer INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    type INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    attempt_max INTEGER NOT NULL,
    code INTEGER NOT NULL,
    status INTEGER,
    duration_us INTEGER NOT NULL,
    kid INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_event ON attempts (customer, event_id);
CREATE INDEX IF NOT EXISTS attempts_by_time ON attempts
    (customer, at, partition, offset, endpoint);
"""
    )

    def __init__(self, topic: str, rows_max: int) -> None:
        self.topic = topic
        self.rows_max: int | None = rows_max
        self._texts = StringTable()

    def take(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Insert the attempts."""
        rows = [
            self._row(connection, batch.partition, record.offset, attempt)
            for record in batch.records
            if (attempt := decode(record.value or b"")) is not None
        ]
        connection.executemany(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete attempts below the offset; None = all."""
        connection.execute(
            "DELETE FROM attempts WHERE partition = ? AND offset < ?",
            (partition, 2**63 - 1 if offset is None else offset),
        )

    def forget(self) -> None:
        """Clear the cache of the file's content."""
        self._texts.forget()

    def _row(
        self, connection: sqlite3.Connection, partition: int, offset: int, attempt: AttemptRecord
    ) -> tuple[object, ...]:
        def text_id(text: str) -> int | None:
            return self._texts.id_of(connection, text)

        return (
            partition,
            offset,
            round(attempt.at * 1000),
            text_id(attempt.customer_id),
            attempt.event_id,
            text_id(attempt.event_type),
            text_id(attempt.endpoint_id),
            attempt.attempt,
            attempt.attempt_max,
            text_id(attempt.code),
            attempt.status,
            round(attempt.duration_s * 1_000_000),
            text_id(attempt.kid),
            text_id(attempt.worker),
        )


class Attempts:
    """The latest attempts, in an SQLite file.

    Start it once. It follows its topic until it is closed.
    """

    def __init__(self, path: Path, names: TopicNames, follow: Follow, *, rows_max: int) -> None:
        """Keep the latest `rows_max` attempts in the file at `path`."""
        source = AttemptSource(names.deliveries, rows_max)
        self._file = IndexFile(path, _VERSION, (source,))
        self._follower = follow(self._file, (source,))

    async def start(self, *, patient: bool = False) -> None:
        """Begin to follow.

        Args:
            patient: Return at once. Errors are retried, and queries raise them meanwhile.

        Raises:
            BrokerError: `broker_unreachable`, `topic_missing`; not if patient.
            ConfigurationError: `index_unusable`; not if patient.
        """
        await self._follower.start(patient=patient)

    async def close(self) -> None:
        """Stop following."""
        await self._follower.close()

    async def catch_up(
        self,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Wait until the index has every record that the topic has now.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
        """
        await self._follower.catch_up(timeout_s=timeout_s, on_progress=on_progress)

    async def page(
        self,
        customer_id: str,
        *,
        event_id: str | None = None,
        endpoint_id: str | None = None,
        limit: int,
        cursor: LogCursor | None = None,
    ) -> AttemptsListed:
        """Return a page of a tenant's attempts, newest first, and the cursor of the next page."""

        def read() -> list[Attempted]:
            connection = self._file.connection()
            parts, values = ["a.customer = ?"], intern(connection, (customer_id,))
            bound: list[object] = [*values]
            if endpoint_id is not None:
                parts.append("a.endpoint = ?")
                bound += intern(connection, (endpoint_id,))
            if len(bound) != len(parts):
                return []
            if event_id is not None:
                parts.append("a.event_id = ?")
                bound.append(event_id)
            if cursor is not None:
                parts.append("(a.at, a.partition, a.offset) < (?, ?, ?)")
                bound += cursor
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM attempts a WHERE {' AND '.join(parts)} "  # noqa: S608
                "ORDER BY a.at DESC, a.partition DESC, a.offset DESC LIMIT ?",
                (*bound, limit + 1),
            )
            return [Attempted(*row) for row in rows]

        found = await self._follower.run(read)
        attempts = found[:limit]
        return AttemptsListed(attempts, attempts[-1].cursor if len(found) > limit else None)

    async def latest(self, since_ms: int, each: int) -> list[Attempted]:
        """Return the attempts of all tenants since `since_ms`, in order within a partition.

        Args:
            since_ms: Milliseconds since the Unix epoch.
            each: Of one partition at most so many, the latest.
        """

        def read() -> list[Attempted]:
            connection = self._file.connection()
            # By the primary key, from the end: however many there are, only these are read.
            partitions = connection.execute("SELECT partition FROM positions ORDER BY partition")
            found: list[Attempted] = []
            for (partition,) in partitions.fetchall():
                rows = connection.execute(
                    f"SELECT {_COLUMNS} FROM attempts a WHERE a.partition = ? "  # noqa: S608
                    "ORDER BY a.offset DESC LIMIT ?",
                    (partition, each),
                )
                latest = [attempt for row in rows if (attempt := Attempted(*row)).at_ms >= since_ms]
                found += reversed(latest)
            return found

        return await self._follower.run(read)


class AttemptIndex(Attempts):
    """Follows `deliveries`."""

    def __init__(self, cluster: Cluster, folder: Path, *, rows_max: int) -> None:
        """Keep the latest `rows_max` attempts in `folder`, which processes may share."""
        super().__init__(
            folder / file_name("deliveries", cluster),
            TopicNames(cluster.topic_prefix),
            partial(Follower, cluster),
            rows_max=rows_max,
        )
