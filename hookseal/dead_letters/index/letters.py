"""Index of dead letters: lists, counts, and the letters of a replay."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from hookseal.dead_letters.index.file import IndexFile
from hookseal.dead_letters.index.follower import Follower
from hookseal.dead_letters.index.letter_query import listing, query_of
from hookseal.dead_letters.index.letter_rows import LetterSource, ReplaySource
from hookseal.domain.dead_letter import category_of
from hookseal.domain.letter import Letter, LettersListed, LogCursor
from hookseal.domain.utc_time import rfc3339
from hookseal.errors import InvalidInputError
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hookseal.dead_letters.index.follower import Follow
    from hookseal.domain.letter_filter import LetterFilter, Order
    from hookseal.kafka.cluster import Cluster

_VERSION = 1
_STATS_ROWS = 1000


class Letters:
    """Dead letters and the replay ledger, in an SQLite file.

    Start it once. It follows its topics until it is closed.
    """

    def __init__(self, path: Path, names: TopicNames, follow: Follow) -> None:
        self._letters = LetterSource(names.dead_letters)
        self._replays = ReplaySource(names.replays)
        sources = (self._letters, self._replays)
        self._file = IndexFile(path, _VERSION, sources)
        self._follower = follow(self._file, sources)

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
        ledger_to: Mapping[int, int] | None = None,
    ) -> None:
        """Wait until the index has every record that the topics have now.

        Args:
            timeout_s: Seconds to wait; None = as long as it takes.
            on_progress: Told how many records are read, and of how many.
            ledger_to: Offsets of `replays`, by partition, to be reached as well.

        Raises:
            BrokerError: `broker_unreachable`; `index_behind` after `timeout_s` seconds.
        """
        at_least = {
            TopicPartition(self._replays.topic, partition): offset
            for partition, offset in (ledger_to or {}).items()
        }
        await self._follower.catch_up(
            timeout_s=timeout_s, on_progress=on_progress, at_least=at_least
        )

    async def page(
        self,
        wanted: LetterFilter,
        *,
        order: Order = "newest",
        limit: int,
        cursor: LogCursor | None = None,
    ) -> LettersListed:
        """Return a page of letters."""

        def read(connection: sqlite3.Connection) -> list[Letter]:
            query = query_of(connection, wanted)
            if query is None:
                return []
            return [Letter(*row) for row in listing(connection, query, order, limit + 1, cursor)]

        found = await self._read(read)
        more = len(found) > limit
        letters = found[:limit]
        return LettersListed(letters, letters[-1].cursor if more else None)

    async def cursor_at(self, partition: int, offset: int) -> LogCursor:
        """Return the cursor behind the letter at this position.

        Raises:
            InvalidInputError: `unknown_dead_letter`.
        """
        found = await self._read(
            lambda connection: connection.execute(
                "SELECT at FROM letters WHERE partition = ? AND offset = ?", (partition, offset)
            ).fetchone()
        )
        if found is None:
            raise unknown_dead_letter(partition, offset)
        return LogCursor(found[0], partition, offset)

    async def counts(self, wanted: LetterFilter) -> dict[int, int]:
        """Return the number of letters, by partition."""
        return dict(
            await self._grouped(
                wanted, "SELECT l.partition, count(*) FROM letters l", "l.partition"
            )
        )

    async def stats(self, wanted: LetterFilter) -> list[dict[str, Any]]:
        """Return the number of letters by customer, endpoint and reason, highest first."""
        rows = await self._grouped(
            wanted,
            "SELECT (SELECT text FROM texts WHERE id = l.customer), "
            "(SELECT text FROM texts WHERE id = l.endpoint), "
            "(SELECT text FROM texts WHERE id = l.reason), count(*), min(l.at), max(l.at), "
            "count((SELECT 1 FROM replayed r WHERE r.partition = l.partition "
            "AND r.offset = l.offset AND r.ts = l.ts)) FROM letters l",
            f"l.customer, l.endpoint, l.reason ORDER BY 4 DESC LIMIT {_STATS_ROWS}",
        )
        return [
            {
                "customer_id": customer,
                "endpoint_id": endpoint,
                "reason": reason,
                "category": category_of(reason or ""),
                "count": count,
                "replayed": replayed,
                "first_failed_at": rfc3339(first / 1000),
                "last_failed_at": rfc3339(last / 1000),
            }
            for customer, endpoint, reason, count, first, last, replayed in rows
        ]

    async def places(
        self, wanted: LetterFilter, partition: int, *, after: int, before: int, limit: int
    ) -> list[tuple[int, int]]:
        """Return offset and timestamp (ms) of the letters of one partition, in order.

        Args:
            wanted: Which.
            partition: Counted from 0.
            after: Only those behind this offset.
            before: Only those in front of this offset.
            limit: At most so many.
        """

        def read(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            query = query_of(connection, wanted)
            if query is None:
                return []
            statement = (
                "SELECT l.offset, l.ts FROM letters l NOT INDEXED "  # noqa: S608 - bound values
                "WHERE l.partition = ? AND l.offset > ? AND l.offset < ? "
                f"AND {query.where} ORDER BY l.offset LIMIT ?"
            )
            values = (partition, after, before, *query.values, limit)
            return connection.execute(statement, values).fetchall()

        found: list[tuple[int, int]] = await self._read(read)
        return found

    async def job(self, job: str, partition: int) -> tuple[int, int]:
        """Return the progress of a job and its end, both offsets on `events`.

        The first is the offset of the last replayed record, the second is behind the last record of
        the job; -1 = unknown.
        """
        found = await self._read(
            lambda connection: connection.execute(
                "SELECT upto, goes_to FROM jobs WHERE job = ? AND partition = ?", (job, partition)
            ).fetchone()
        )
        return (-1, -1) if found is None else (int(found[0]), int(found[1]))

    async def letter_ends(self) -> dict[int, int]:
        """Return the end offset of each partition of `dead-letters`.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        ends = await self._follower.ends()
        return {
            place.partition: end
            for place, end in ends.items()
            if place.topic == self._letters.topic
        }

    async def _grouped(self, wanted: LetterFilter, select: str, by: str) -> list[Any]:
        def read(connection: sqlite3.Connection) -> list[Any]:
            query = query_of(connection, wanted)
            if query is None:
                return []
            return connection.execute(
                f"{select} WHERE {query.where} GROUP BY {by}", query.values
            ).fetchall()

        found: list[Any] = await self._read(read)
        return found

    async def _read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._follower.run(lambda: work(self._file.connection()))


class LetterIndex(Letters):
    """Follows `dead-letters` and `replays`."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Keep the index in a file in `folder`, which processes may share."""
        super().__init__(
            folder / file_name("dead-letters", cluster),
            TopicNames(cluster.topic_prefix),
            partial(Follower, cluster),
        )


def unknown_dead_letter(partition: int, offset: int) -> InvalidInputError:
    """Return the error for a position that has no dead letter."""
    return InvalidInputError(
        "unknown_dead_letter",
        f"No dead letter exists at partition {partition}, offset {offset}.",
        field=f"{partition}/{offset}",
    )


def file_name(kind: str, cluster: Cluster) -> str:
    """Return the index's file name, which is different for each cluster and prefix."""
    where = f"{cluster.bootstrap}\n{cluster.topic_prefix}"
    return f"{kind}-{hashlib.sha256(where.encode()).hexdigest()[:16]}.sqlite"
