"""Index of the delivery log: the attempts of an event or of an endpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hookseal.dead_letters.index.file import ID_OF, IndexFile, Source
from hookseal.dead_letters.index.follower import KafkaIndex, file_name
from hookseal.domain.attempt import AttemptRecord, decode
from hookseal.domain.letter import Attempted, AttemptsListed
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from aiokafka import ConsumerRecord

    from hookseal.domain.letter import LogCursor
    from hookseal.domain.letter_filter import AttemptFilter
    from hookseal.kafka.cluster import Cluster

_SELECT = """
SELECT
    a.partition, a.offset, a.at,
    (SELECT text FROM texts WHERE id = a.customer), a.event_id,
    (SELECT text FROM texts WHERE id = a.type),
    (SELECT text FROM texts WHERE id = a.endpoint),
    a.attempt, a.attempt_max,
    (SELECT text FROM texts WHERE id = a.code),
    a.status, a.duration_us,
    (SELECT text FROM texts WHERE id = a.kid),
    (SELECT text FROM texts WHERE id = a.worker), a.event_offset
FROM attempts a WHERE
"""


class AttemptSource(Source):
    """The topic `deliveries`."""

    table = "attempts"
    schema = """
CREATE TABLE IF NOT EXISTS attempts (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, at INTEGER NOT NULL,
    customer INTEGER NOT NULL, event_id TEXT NOT NULL, type INTEGER NOT NULL,
    endpoint INTEGER NOT NULL, attempt INTEGER NOT NULL, attempt_max INTEGER NOT NULL,
    code INTEGER NOT NULL, status INTEGER, duration_us INTEGER NOT NULL,
    kid INTEGER NOT NULL, worker INTEGER NOT NULL, event_offset INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_event ON attempts (event_id, customer);
CREATE INDEX IF NOT EXISTS attempts_by_customer ON attempts
    (customer, at, partition, offset, endpoint, type, code, status);
CREATE INDEX IF NOT EXISTS attempts_by_time ON attempts
    (at, partition, offset, endpoint, type, code, status);
"""

    def __init__(self, topic: str, rows_max: int) -> None:
        super().__init__(topic)
        self.rows_max = rows_max

    def insert(self, connection: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
        """Insert the attempts."""
        connection.executemany(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                self._row(connection, record, attempt)
                for record in records
                if (attempt := decode(record.value or b"")) is not None
            ],
        )

    def _row(
        self, connection: sqlite3.Connection, record: ConsumerRecord, attempt: AttemptRecord
    ) -> tuple[object, ...]:
        text_id = partial(self.text_id, connection)
        return (
            record.partition,
            record.offset,
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
            attempt.offset,
        )


class AttemptQueries:
    """Queries of an index with an `AttemptSource`."""

    file: IndexFile

    async def page(
        self,
        wanted: AttemptFilter,
        *,
        limit: int,
        cursor: LogCursor | None = None,
    ) -> AttemptsListed:
        """Return a page of attempts, newest first, and the cursor of the next page."""
        given = [
            (condition, value)
            for condition, value in (
                (f"a.customer = {ID_OF}", wanted.customer_id),
                (f"a.endpoint = {ID_OF}", wanted.endpoint_id),
                (f"a.type = {ID_OF}", wanted.event_type),
                (f"a.code = {ID_OF}", wanted.code),
                ("a.event_id = ?", wanted.event_id),
                ("a.status = ?", wanted.status),
                ("a.at >= ?", wanted.since_ms),
                ("a.at < ?", wanted.until_ms),
            )
            if value is not None
        ]
        conditions = ["1", *(condition for condition, _ in given)]
        values: list[object] = [value for _, value in given]
        if cursor is not None:
            conditions.append("(a.at, a.partition, a.offset) < (?, ?, ?)")
        rows = await self.file.fetch(
            f"{_SELECT} {' AND '.join(conditions)} "
            "ORDER BY a.at DESC, a.partition DESC, a.offset DESC LIMIT ?",
            (*values, *(cursor or ()), limit + 1),
        )
        attempts = [Attempted(*row) for row in rows[:limit]]
        return AttemptsListed(attempts, attempts[-1].cursor if len(rows) > limit else None)

    async def customers_of(self, event_id: str) -> list[str]:
        """Return the customers to whose endpoints an event of this id was sent."""
        rows = await self.file.fetch(
            "SELECT DISTINCT (SELECT text FROM texts WHERE id = a.customer) "
            "FROM attempts a WHERE a.event_id = ?",
            (event_id,),
        )
        return [customer_id for (customer_id,) in rows]

    async def latest(self, since_ms: int, each: int) -> list[Attempted]:
        """Return attempts since a Unix time (ms), in order: the latest `each` per partition."""
        found: list[Attempted] = []
        for (partition,) in await self.file.fetch(
            "SELECT partition FROM positions ORDER BY partition"
        ):
            # The primary key finds the last rows without a scan of the table.
            rows = await self.file.fetch(
                f"{_SELECT} a.partition = ? ORDER BY a.offset DESC LIMIT ?", (partition, each)
            )
            latest = [attempt for row in rows if (attempt := Attempted(*row)).at_ms >= since_ms]
            found += reversed(latest)
        return found


class AttemptIndex(KafkaIndex, AttemptQueries):
    """The latest attempts on the topic `deliveries`."""

    def __init__(self, cluster: Cluster, folder: Path, *, rows_max: int) -> None:
        """Keep the latest `rows_max` attempts in `folder`, which processes may share."""
        source = AttemptSource(TopicNames(cluster.topic_prefix).deliveries, rows_max)
        super().__init__(cluster, folder / file_name("deliveries", cluster), (source,))
