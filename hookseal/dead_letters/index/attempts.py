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
    (SELECT text FROM texts WHERE id = a.worker)
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
    kid INTEGER NOT NULL, worker INTEGER NOT NULL,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_event ON attempts (customer, event_id);
CREATE INDEX IF NOT EXISTS attempts_by_time ON attempts
    (customer, at, partition, offset, endpoint);
"""

    def __init__(self, topic: str, rows_max: int) -> None:
        super().__init__(topic)
        self.rows_max = rows_max

    def insert(self, connection: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
        """Insert the attempts."""
        connection.executemany(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        )


class AttemptQueries:
    """Queries of an index with an `AttemptSource`."""

    file: IndexFile

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
        conditions, values = [f"a.customer = {ID_OF}"], [customer_id]
        if endpoint_id is not None:
            conditions.append(f"a.endpoint = {ID_OF}")
            values.append(endpoint_id)
        if event_id is not None:
            conditions.append("a.event_id = ?")
            values.append(event_id)
        if cursor is not None:
            conditions.append("(a.at, a.partition, a.offset) < (?, ?, ?)")
        rows = await self.file.fetch(
            f"{_SELECT} {' AND '.join(conditions)} "
            "ORDER BY a.at DESC, a.partition DESC, a.offset DESC LIMIT ?",
            (*values, *(cursor or ()), limit + 1),
        )
        attempts = [Attempted(*row) for row in rows[:limit]]
        return AttemptsListed(attempts, attempts[-1].cursor if len(rows) > limit else None)

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
