"""Index of dead letters: lists, counts, and the dead letters of a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookseal.dead_letters.index.file import ID_OF, IndexFile
from hookseal.dead_letters.index.follower import KafkaIndex, file_name
from hookseal.dead_letters.index.letter_sources import LetterSource, ReplaySource
from hookseal.domain.dead_letter import category_of
from hookseal.domain.letter import Letter, LettersListed, LogCursor
from hookseal.domain.utc_time import rfc3339
from hookseal.errors import InvalidInputError
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.domain.letter_filter import LetterFilter, Order
    from hookseal.kafka.cluster import Cluster

_STATS_ROWS_MAX = 1000
_REPLAYED = (
    "(SELECT r.at FROM replayed r "
    "WHERE r.partition = l.partition AND r.offset = l.offset AND r.ts = l.ts)"
)
_CUSTOMER, _ENDPOINT, _REASON, _ERROR, _TYPE = (
    f"(SELECT text FROM texts WHERE id = l.{column})"  # noqa: S608 - constants
    for column in ("customer", "endpoint", "reason", "error", "type")
)


class LetterQueries:
    """Queries of an index with a `LetterSource` and a `ReplaySource`."""

    file: IndexFile

    async def page(
        self,
        wanted: LetterFilter,
        *,
        order: Order = "newest",
        limit: int,
        cursor: LogCursor | None = None,
    ) -> LettersListed:
        """Return a page of letters, and the cursor of the next page."""
        direction, beyond = ("DESC", "<") if order == "newest" else ("ASC", ">")
        after = "" if cursor is None else f"AND (l.at, l.partition, l.offset) {beyond} (?, ?, ?)"
        ordered = ", ".join(f"l.{column} {direction}" for column in ("at", "partition", "offset"))
        # The inner statement finds the page in an index alone. The outer one reads its rows.
        found = await self._select(
            wanted,
            f"""
            SELECT l.partition, l.offset, l.at, {_CUSTOMER}, {_ENDPOINT}, {_REASON}, {_ERROR},
                l.event_id, {_TYPE}, l.attempts, l.status, {_REPLAYED}
            FROM letters l NOT INDEXED
            WHERE (l.partition, l.offset) IN (
                SELECT l.partition, l.offset FROM letters l
                WHERE {{where}} {after} ORDER BY {ordered} LIMIT ?
            )
            ORDER BY {ordered}
            """,  # noqa: S608 - constants
            *(cursor or ()),
            limit + 1,
        )
        letters = [Letter(*row) for row in found[:limit]]
        return LettersListed(letters, letters[-1].cursor if len(found) > limit else None)

    async def cursor_at(self, partition: int, offset: int) -> LogCursor:
        """Return the cursor behind the dead letter at this position.

        Raises:
            InvalidInputError: `unknown_dead_letter`.
        """
        found = await self.file.fetch(
            "SELECT at FROM letters WHERE partition = ? AND offset = ?", (partition, offset)
        )
        if not found:
            raise InvalidInputError(
                "unknown_dead_letter",
                f"No dead letter exists at partition {partition}, offset {offset}.",
                field=f"{partition}/{offset}",
            )
        return LogCursor(found[0][0], partition, offset)

    async def counts(self, wanted: LetterFilter) -> dict[int, int]:
        """Return the number of letters, by partition."""
        statement = "SELECT l.partition, count(*) FROM letters l WHERE {where} GROUP BY 1"
        return dict(await self._select(wanted, statement))

    async def reasons(self, wanted: LetterFilter) -> dict[str, int]:
        """Return the number of letters of each reason."""
        statement = f"SELECT {_REASON}, count(*) FROM letters l WHERE {{where}} GROUP BY l.reason"  # noqa: S608
        return {reason or "": count for reason, count in await self._select(wanted, statement)}

    async def customers_of(self, event_id: str) -> list[str]:
        """Return the customers who have a dead letter of an event of this id."""
        rows = await self.file.fetch(
            f"SELECT DISTINCT {_CUSTOMER} FROM letters l "  # noqa: S608 - a constant
            "WHERE l.event_id = ? AND l.customer IS NOT NULL",
            (event_id,),
        )
        return [customer_id for (customer_id,) in rows]

    async def stats(self, wanted: LetterFilter) -> list[dict[str, Any]]:
        """Return the number of letters by customer, endpoint and reason, highest first."""
        rows = await self._select(
            wanted,
            f"""
            SELECT {_CUSTOMER}, {_ENDPOINT}, {_REASON}, count(*), min(l.at), max(l.at),
                count({_REPLAYED})
            FROM letters l WHERE {{where}}
            GROUP BY l.customer, l.endpoint, l.reason ORDER BY 4 DESC LIMIT {_STATS_ROWS_MAX}
            """,  # noqa: S608 - constants
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

    async def offsets(
        self, wanted: LetterFilter, partition: int, *, after: int, before: int, limit: int
    ) -> dict[int, int]:
        """Return the timestamps (ms) of letters between two offsets, by offset, ascending."""
        return dict(
            await self._select(
                wanted,
                "SELECT l.offset, l.ts FROM letters l NOT INDEXED WHERE {where} "
                "AND l.partition = ? AND l.offset > ? AND l.offset < ? ORDER BY l.offset LIMIT ?",
                partition,
                after,
                before,
                limit,
            )
        )

    async def job(self, job: str, partition: int) -> tuple[int, int]:
        """Return the offset of a job's last replayed event, and its end offset; -1 = unknown."""
        found: list[tuple[int, int]] = await self.file.fetch(
            "SELECT upto, goes_to FROM jobs WHERE job = ? AND partition = ?", (job, partition)
        )
        return found[0] if found else (-1, -1)

    async def _select(self, wanted: LetterFilter, statement: str, *values: object) -> list[Any]:
        """Return the rows of a statement with the filter as `{where}`; values are bound."""
        where, bound = _condition(wanted)
        return await self.file.fetch(statement.format(where=where), (*bound, *values))


class LetterIndex(KafkaIndex, LetterQueries):
    """Dead letters on the topic `dead-letters`, and the ledger of their replays on `replays`."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Keep the index in a file in `folder`, which processes may share."""
        names = TopicNames(cluster.topic_prefix)
        sources = (LetterSource(names.dead_letters), ReplaySource(names.replays))
        super().__init__(cluster, folder / file_name("dead-letters", cluster), sources)


def _condition(wanted: LetterFilter) -> tuple[str, list[object]]:
    """Return the condition on `letters l`, and its bound values."""
    parts: list[str] = ["1"]
    values: list[object] = []
    for comparison, value in (
        (f"l.customer = {ID_OF}", wanted.customer_id),
        (f"l.endpoint = {ID_OF}", wanted.endpoint_id),
        (f"l.type = {ID_OF}", wanted.event_type),
        ("l.event_id = ?", wanted.event_id),
        ("l.status = ?", wanted.status),
        ("l.at >= ?", wanted.since_ms),
        ("l.at < ?", wanted.until_ms),
    ):
        if value is not None:
            parts.append(comparison)
            values.append(value)
    if wanted.reasons is not None:
        texts = ", ".join("?" * len(wanted.reasons))
        parts.append(f"l.reason IN (SELECT id FROM texts WHERE text IN ({texts}))")  # noqa: S608
        values += wanted.reasons
    if wanted.places is not None:
        rows = ", ".join(["(?, ?)"] * len(wanted.places))
        parts.append(f"(l.partition, l.offset) IN (VALUES {rows})" if rows else "0")
        values += [number for position in wanted.places for number in position]
    if wanted.has_customer:
        parts.append("l.customer IS NOT NULL")
    if wanted.replayed is not None:
        parts.append(f"{_REPLAYED} IS {'NOT ' if wanted.replayed else ''}NULL")
    return " AND ".join(parts), values
