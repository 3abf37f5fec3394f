"""Index rows of dead letters and of the replay ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hookseal.dead_letters.index.file import Source
from hookseal.domain.replay import decode, settled_in

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from aiokafka import ConsumerRecord

_TYPE_MAX = 255
_NUMBER_DIGITS_MAX = 9


class _Typed(msgspec.Struct):
    type: str | None = None


_typed = msgspec.json.Decoder(_Typed)


class LetterSource(Source):
    """The topic `dead-letters`."""

    table = "letters"
    # Both indexes contain all columns that filters use. A scan of a million entries then reads the
    # index alone, which takes 0.1 s instead of some seconds.
    schema = """
CREATE TABLE IF NOT EXISTS letters (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL, at INTEGER NOT NULL,
    customer INTEGER, endpoint INTEGER, reason INTEGER, type INTEGER,
    status INTEGER, attempts INTEGER, event_id TEXT, error INTEGER,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS letters_by_customer ON letters
    (customer, at, partition, offset, endpoint, reason, type, status, ts);
CREATE INDEX IF NOT EXISTS letters_by_time ON letters
    (at, partition, offset, endpoint, reason, type, status, ts, customer);
CREATE INDEX IF NOT EXISTS letters_by_event ON letters (event_id, customer);
"""

    def insert(self, connection: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
        """Insert the dead letters."""
        connection.executemany(
            "INSERT OR REPLACE INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [self._row(connection, record) for record in records],
        )

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete letters and, if they expired, their replays."""
        super().drop_below(connection, partition, offset)
        if offset is not None:
            connection.execute(
                "DELETE FROM replayed WHERE partition = ? AND offset < ?", (partition, offset)
            )

    def _row(self, connection: sqlite3.Connection, record: ConsumerRecord) -> tuple[object, ...]:
        headers = dict(record.headers)
        text_id = partial(self.text_id, connection)

        def text(name: str) -> str | None:
            value = headers.get(name)
            return None if value is None else value.decode("utf-8", "replace")

        def number(name: str) -> int | None:
            value = headers.get(name) or b""
            is_number = value.isascii() and value.isdigit() and len(value) <= _NUMBER_DIGITS_MAX
            return int(value) if is_number else None

        return (
            record.partition,
            record.offset,
            record.timestamp,
            _milliseconds(text("hookseal-failed-at"), record.timestamp),
            text_id(record.key.decode("utf-8", "replace") if record.key else None),
            text_id(text("hookseal-endpoint-id")),
            text_id(text("hookseal-reason")),
            text_id(_type_of(record.value, headers)),
            number("hookseal-status"),
            number("hookseal-attempts"),
            text("hookseal-event-id"),
            text_id(text("hookseal-error")),
        )


class ReplaySource(Source):
    """The topic `replays`: replayed letters, and the progress of replays of accepted events."""

    schema = """
CREATE TABLE IF NOT EXISTS replayed (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (partition, offset, ts)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT NOT NULL, partition INTEGER NOT NULL, upto INTEGER NOT NULL, goes_to INTEGER NOT NULL,
    PRIMARY KEY (job, partition)
) WITHOUT ROWID;
"""

    def insert(self, connection: sqlite3.Connection, records: Iterable[ConsumerRecord]) -> None:
        """Insert the replayed letters, and the progress of jobs."""
        for record in records:
            value = record.value or b""
            entry = decode(value)
            if entry is not None and entry.job:
                upto = max((offset for offset, _ in entry.replayed), default=-1)
                connection.execute(
                    "INSERT INTO jobs VALUES (?1, ?2, ?3, ?4) ON CONFLICT (job, partition) "
                    "DO UPDATE SET upto = max(upto, ?3), goes_to = max(goes_to, ?4)",
                    (entry.job, record.partition, upto, entry.job_to),
                )
            else:
                connection.executemany(
                    "INSERT OR IGNORE INTO replayed VALUES (?, ?, ?, ?)",
                    [
                        (record.partition, offset, ts, record.timestamp)
                        for offset, ts in settled_in(value)
                    ],
                )

    def drop_below(
        self, connection: sqlite3.Connection, partition: int, offset: int | None
    ) -> None:
        """Delete all rows if the topic was recreated. Otherwise they expire with their letters."""
        if offset is None:
            connection.execute("DELETE FROM replayed WHERE partition = ?", (partition,))
            connection.execute("DELETE FROM jobs WHERE partition = ?", (partition,))


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


def _milliseconds(text: str | None, default: int) -> int:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return default
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
