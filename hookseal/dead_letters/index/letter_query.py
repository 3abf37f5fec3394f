"""SQL of a dead-letter filter. Values are bound, never written into the statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hookseal.dead_letters.index.string_table import intern

if TYPE_CHECKING:
    import sqlite3

    from hookseal.domain.letter_filter import LetterFilter, Order

_REPLAYED = (
    "EXISTS (SELECT 1 FROM replayed r WHERE r.partition = l.partition "
    "AND r.offset = l.offset AND r.ts = l.ts)"
)


class Query(NamedTuple):
    """A condition on `letters l`, and its bound values."""

    where: str
    values: tuple[object, ...]


def query_of(connection: sqlite3.Connection, wanted: LetterFilter) -> Query | None:
    """Return the condition; None if no letter can match."""
    equal = _texts(connection, wanted)
    if equal is None:
        return None
    parts, values = equal
    for condition, value in (
        ("l.status = ?", wanted.status),
        ("l.at >= ?", wanted.since_ms),
        ("l.at < ?", wanted.until_ms),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if wanted.places is not None:
        if not wanted.places:
            return None
        parts.append(
            f"(l.partition, l.offset) IN (VALUES {', '.join(['(?, ?)'] * len(wanted.places))})"
        )
        values += [number for place in wanted.places for number in place]
    if wanted.has_customer:
        parts.append("l.customer IS NOT NULL")
    if wanted.replayed is not None:
        parts.append(_REPLAYED if wanted.replayed else f"NOT {_REPLAYED}")
    return Query(" AND ".join(parts), tuple(values))


def _texts(
    connection: sqlite3.Connection, wanted: LetterFilter
) -> tuple[list[str], list[object]] | None:
    """Return the conditions on columns that hold numbers of texts; None if one has none."""
    parts: list[str] = ["1"]
    values: list[object] = []
    for column, meant in (
        ("customer", _one(wanted.customer_id)),
        ("endpoint", _one(wanted.endpoint_id)),
        ("reason", wanted.reasons),
        ("type", _one(wanted.event_type)),
    ):
        if meant is None:
            continue
        ids = intern(connection, meant)
        if not ids:
            return None
        parts.append(f"l.{column} IN ({', '.join('?' * len(ids))})")
        values += ids
    return parts, values


def _one(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset({text})


def listing(
    connection: sqlite3.Connection,
    query: Query,
    order: Order,
    limit: int,
    cursor: tuple[int, int, int] | None,
) -> list[tuple[Any, ...]]:
    """Return the rows of `Letter` after the cursor, in this order."""
    direction, beyond = ("DESC", "<") if order == "newest" else ("ASC", ">")
    behind = "" if cursor is None else f"AND (l.at, l.partition, l.offset) {beyond} (?, ?, ?)"
    ordered = ", ".join(f"l.{column} {direction}" for column in ("at", "partition", "offset"))
    # The inner statement finds the page in an index alone; the outer one reads its rows.
    statement = f"""
        SELECT l.partition, l.offset, l.at,
            (SELECT text FROM texts WHERE id = l.customer),
            (SELECT text FROM texts WHERE id = l.endpoint),
            (SELECT text FROM texts WHERE id = l.reason),
            (SELECT text FROM texts WHERE id = l.error),
            l.event_id,
            (SELECT text FROM texts WHERE id = l.type),
            l.attempts, l.status,
            (SELECT r.at FROM replayed r
                WHERE r.partition = l.partition AND r.offset = l.offset AND r.ts = l.ts)
        FROM letters l NOT INDEXED
        WHERE (l.partition, l.offset) IN (
            SELECT l.partition, l.offset FROM letters l
            WHERE {query.where} {behind} ORDER BY {ordered} LIMIT ?
        )
        ORDER BY {ordered}
    """  # noqa: S608
    return connection.execute(statement, (*query.values, *(cursor or ()), limit)).fetchall()
