"""Index rows of dead letters and of the replay ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from hookseal.dead_letters.index.string_table import TEXTS, StringTable
from hookseal.domain.replay import decode, settled_in

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from aiokafka import ConsumerRecord

    from hookseal.dead_letters.index.file import Batch

_TYPE_MAX = 255


class _Typed(msgspec.Struct):
    type: str | None = None


_typed = msgspec.json.Decoder(_Typed)


class LetterSource:
    """The topic `dead-letters`."""

    # Both indexes hold all that is filtered by, so that a scan of a million entries reads
    # them alone: 0.1 s instead of some seconds.
    schema = (
        TEXTS
        + """
CREATE TABLE IF NOT EXISTS letters (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    customer INTEGER,
    endpoint INTEGER,
    reason INTEGER,
    type INTEGER,
    status INTEGER,
    attempts INTEGER,
    event_id TEXT,
    error INTEGER,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS letters_by_customer ON letters
    (customer, at, partition, offset, endpoint, reason, type, status, ts);
CREATE INDEX IF NOT EXISTS letters_by_time ON letters
    (at, partition, offset, endpoint, reason, type, status, ts, customer);
"""
    )
    rows_max: int | None = None

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self._texts = StringTable()

    def take(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Insert the letters."""
        connection.executemany(
            "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._row(connection, record) for record in batch.records],
        )

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete letters and their replays."""
        below = (partition, 2**63 - 1 if offset is None else offset)
        connection.execute("DELETE FROM letters WHERE partition = ? AND offset < ?", below)
        if offset is not None:
            connection.execute("DELETE FROM replayed WHERE partition = ? AND offset < ?", below)

    def forget(self) -> None:
        """Clear the cache of the file's content."""
        self._texts.forget()

    def _row(self, connection: sqlite3.Connection, record: ConsumerRecord) -> tuple[object, ...]:
        headers = dict(record.headers)

        def text(name: str) -> str | None:
            value = headers.get(name)
            return None if value is None else value.decode("utf-8", "replace")

        def number(name: str) -> int | None:
            value = headers.get(name) or b""
            return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None  # noqa: PLR2004

        def text_id(value: str | None) -> int | None:
            return self._texts.id_of(connection, value)

        key = record.key
        return (
            record.partition,
            record.offset,
            record.timestamp,
            _milliseconds(text("hookseal-failed-at"), record.timestamp),
            text_id(key.decode("utf-8", "replace") if key else None),
            text_id(text("hookseal-endpoint-id")),
            text_id(text("hookseal-reason")),
            text_id(_type_of(record.value, headers)),
            number("hookseal-status"),
            number("hookseal-attempts"),
            text("hookseal-event-id"),
            text_id(text("hookseal-error")),
        )


class ReplaySource:
    """The topic `replays`: the letters that were replayed, and the progress of jobs."""

    schema = """
CREATE TABLE IF NOT EXISTS replayed (
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (partition, offset, ts)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT NOT NULL,
    partition INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    goes_to INTEGER NOT NULL,
    PRIMARY KEY (job, partition)
) WITHOUT ROWID;
"""
    rows_max: int | None = None

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def take(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Insert replays and progress of jobs."""
        for record in batch.records:
            value = record.value or b""
            entry = decode(value)
            if entry is not None and entry.job:
                upto = max((offset for offset, _ in entry.replayed), default=-1)
                connection.execute(
                    "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4) ON CONFLICT (job, partition) "
                    "DO UPDATE SET upto = max(upto, ?3), goes_to = max(goes_to, ?4)",
                    (entry.job, batch.partition, upto, entry.job_to),
                )
            else:
                connection.executemany(
                    "INSERT OR IGNORE INTO replayed VALUES (?, ?, ?, ?)",
                    [
                        (batch.partition, offset, ts, record.timestamp)
                        for offset, ts in settled_in(value)
                    ],
                )

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete everything if the topic begins again; entries expire with their letters."""
        if offset is None:
            connection.execute("DELETE FROM replayed WHERE partition = ?", (partition,))
            connection.execute("DELETE FROM jobs WHERE partition = ?", (partition,))

    def forget(self) -> None:
        """Nothing is cached."""


def _type_of(value: bytes | None, headers: Mapping[str, bytes | None]) -> str | None:
    """Return the event type; None if the record is not a readable event."""
    if "ce_specversion" in headers:
        found: str | None = (headers.get("ce_type") or b"").decode("utf-8", "replace")
    else:
        try:
            found = _typed.decode(value or b"").type
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found = None
    return found[:_TYPE_MAX] if found else None


def _milliseconds(text: str | None, otherwise: int) -> int:
    if text is not None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return otherwise
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    return otherwise
