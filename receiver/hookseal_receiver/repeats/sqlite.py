"""Seen deliveries in a file: for all processes of one machine, and over restarts."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hookseal_receiver.errors import StoreError
from hookseal_receiver.repeats.port import DEFAULT_BOUNDS, Bounds, Claim, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["SQLiteStore"]

# `number` tells the order of first claims. A token is empty where there is no claim; `until`
# is the end of a claim, and `seen` the time of success, in Unix seconds.
_TABLE = """
CREATE TABLE IF NOT EXISTS delivery (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL,
    until REAL NOT NULL,
    seen REAL
)
"""
_INDEX = "CREATE INDEX IF NOT EXISTS delivery_seen ON delivery (seen)"
_PREPARATION = ("PRAGMA synchronous=NORMAL", _TABLE, _INDEX)
_BUSY_PAUSE_S = 0.01


class SQLiteStore:
    """A `Store` in an SQLite file that processes, threads and forked children may share.

    What it noted survives the process. A power cut may take the last notes with it
    (`synchronous=NORMAL`): then a repeat of those runs the handler once more.

    The file is opened at the first claim.

    Args:
        path: A file on a local disk, made if it is not there.
        bounds: How much is kept, and how long.
        busy_s: Seconds to wait for another process that is writing.
        clock: Returns Unix seconds.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bounds: Bounds = DEFAULT_BOUNDS,
        busy_s: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._bounds = bounds
        self._busy_s = busy_s
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0
        self._inherited: list[sqlite3.Connection] = []

    def __len__(self) -> int:
        with self._writing() as database:
            return int(database.execute("SELECT COUNT(*) FROM delivery").fetchone()[0])

    def claim(self, delivery: str) -> Claim:
        """Claim a delivery, or return its standing."""
        now = self._clock()
        claim = Claim(delivery, Standing.NEW, secrets.token_hex(8))
        until = now + self._bounds.lease_s
        with self._writing() as database:
            self._forget(database, now)
            found = database.execute(
                "SELECT seen, until FROM delivery WHERE name = ?", (delivery,)
            ).fetchone()
            if found is None:
                database.execute(
                    "INSERT INTO delivery (name, token, until) VALUES (?, ?, ?)",
                    (delivery, claim.token, until),
                )
                return claim
            if found[0] is not None:
                return Claim(delivery, Standing.SEEN)
            if found[1] > now:
                return Claim(delivery, Standing.RUNNING, free_in_s=found[1] - now)
            database.execute(
                "UPDATE delivery SET token = ?, until = ? WHERE name = ?",
                (claim.token, until, delivery),
            )
        return claim

    def finish(self, claim: Claim) -> None:
        """Record the delivery as seen."""
        now = self._clock()
        with self._writing() as database:
            noted = database.execute(
                "UPDATE delivery SET token = '', until = 0, seen = ? WHERE name = ?",
                (now, claim.delivery),
            )
            # Its lease ended, and it was forgotten meanwhile.
            if noted.rowcount == 0:
                database.execute(
                    "INSERT INTO delivery (name, token, until, seen) VALUES (?, '', 0, ?)",
                    (claim.delivery, now),
                )
            self._forget(database, now)

    def release(self, claim: Claim) -> None:
        """Release the claim, if this one still holds it."""
        with self._writing() as database:
            # The row stays, so that retries of one event do not push out others.
            database.execute(
                "UPDATE delivery SET token = '', until = 0 WHERE name = ? AND token = ?",
                (claim.delivery, claim.token),
            )

    def close(self) -> None:
        """Close the file; the next claim opens it again."""
        with self._lock:
            if self._connection is not None and self._opened_by == os.getpid():
                self._connection.close()
            self._connection = None

    def _forget(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM delivery WHERE seen <= ?", (now - self._bounds.max_age_s,))
        # By number and not by count, which SQLite would have to go through the table for.
        # Running claims are kept.
        database.execute(
            "DELETE FROM delivery WHERE until <= ?"
            " AND number <= (SELECT MAX(number) FROM delivery) - ?",
            (now, self._bounds.max_entries),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock of the file; commit at the end, or undo."""
        with self._lock:
            try:
                database = self._open()
                # At once: two that read first and write then would both find nothing.
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    # A full disk has ended it already.
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(
                    "store_unavailable",
                    f"What was seen cannot be read or noted in the file: {error}.",
                    field=str(self._path),
                ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._opened_by != os.getpid():
            if self._connection is not None:
                # A fork's child keeps its parent's connection, unused: closing it, be it by
                # dropping the last reference, would drop the parent's locks (sqlite.org,
                # "How To Corrupt An SQLite Database File", section 2.6).
                self._inherited.append(self._connection)
            self._connection = self._connect()
            self._opened_by = os.getpid()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._write_ahead(database)
            for statement in _PREPARATION:
                database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database

    def _write_ahead(self, database: sqlite3.Connection) -> None:
        """Switch to a write-ahead log: one disk write less per record."""
        give_up_at_s = time.monotonic() + self._busy_s
        while True:
            try:
                database.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # While several processes make the file SQLite does not wait by itself: two
                # that hold a lock for reading would wait for each other.
                busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at_s:
                    raise
                time.sleep(_BUSY_PAUSE_S)
            else:
                return
