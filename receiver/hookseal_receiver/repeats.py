"""Drops duplicates: the sender delivers at least once.

A delivery counts as seen only after its handler succeeded, because a handler that fails must
get the event again. So there are three steps: `claim` before the handler runs, then `finish`
if it succeeded or `release` if it failed. Of two concurrent requests with the same event one
gets the claim; the other one is asked to retry.
"""

from __future__ import annotations

import math
import os
import secrets
import sqlite3
import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from hookseal_receiver.errors import SetupError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# `number` is the order of first claims. `token` is empty without a claim, `until` is the end of a
# claim, and `seen` the time of success, both in Unix seconds.
_PREPARATION = (
    "PRAGMA synchronous=NORMAL",
    """
CREATE TABLE IF NOT EXISTS delivery (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    token TEXT NOT NULL,
    until REAL NOT NULL,
    seen REAL
)
""",
    "CREATE INDEX IF NOT EXISTS delivery_seen ON delivery (seen)",
)
_BUSY_PAUSE_S = 0.01


class Standing(Enum):
    """State of a delivery when it is claimed."""

    NEW = "new"  # the claim is yours: run the handler
    RUNNING = "running"  # another request is handling it: ask the sender to retry
    SEEN = "seen"  # its handler succeeded before: accept it, and do nothing


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim.

    Attributes:
        token: Differs for each claim of the same delivery.
        free_in_s: If another request holds the claim, seconds until its lease ends.
    """

    delivery: str
    standing: Standing
    token: str = ""
    free_in_s: float = 0.0


class Store(Protocol):
    """Remembers deliveries, in a bounded window; thread-safe.

    Implement it over your own database to record an event in the same transaction as the work
    it causes. Every method raises `StoreError` `store_unavailable`.
    """

    def claim(self, delivery: str) -> Claim:
        """Claim a delivery, or return its standing.

        A claim that is neither finished nor released expires after a lease: its process may
        have died.
        """
        ...

    def finish(self, claim: Claim) -> None:
        """Record the delivery as seen, even after the lease expired: it was handled."""
        ...

    def release(self, claim: Claim) -> None:
        """Release the claim; no effect if the lease expired and another request claimed it."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many deliveries a store keeps, and for how long.

    Attributes:
        max_entries: Remembered deliveries; the oldest are dropped above it.
        max_age_s: Seconds for which a seen delivery is remembered.
        lease_s: Seconds until a claim expires. Make it longer than the slowest handler, or a
            handler may run twice at once. Keep it at or below 60, the longest `Retry-After` that
            the sender honours: above it, attempts are wasted on the claim of a dead process.

    Raises:
        SetupError: `bounds_invalid`.
    """

    max_entries: int = 100_000
    max_age_s: float = 7 * 86_400.0
    lease_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_entries", "max_age_s", "lease_s"):
            number = getattr(self, name)
            if not (number > 0 and math.isfinite(number)):
                raise SetupError("bounds_invalid", "Give a finite number above 0.", field=name)


_DEFAULT_BOUNDS = Bounds()


class MemoryStore:
    """A `Store` in the memory of this process; 100,000 deliveries need some 30 MB.

    `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        *,
        bounds: Bounds = _DEFAULT_BOUNDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        # Token and end of each claim; time of each seen delivery, oldest first.
        self._running: dict[str, tuple[str, float]] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen) + len(self._running)

    def claim(self, delivery: str) -> Claim:
        with self._lock:
            now = self._clock()
            self._forget(now)
            if delivery in self._seen:
                return Claim(delivery, Standing.SEEN)
            if delivery in self._running:
                _, until = self._running[delivery]
                return Claim(delivery, Standing.RUNNING, free_in_s=until - now)
            claim = Claim(delivery, Standing.NEW, secrets.token_hex(8))
            self._running[delivery] = (claim.token, now + self._bounds.lease_s)
            return claim

    def finish(self, claim: Claim) -> None:
        with self._lock:
            self._running.pop(claim.delivery, None)
            self._seen[claim.delivery] = self._clock()
            self._seen.move_to_end(claim.delivery)
            self._forget(self._clock())

    def release(self, claim: Claim) -> None:
        with self._lock:
            token, _ = self._running.get(claim.delivery, ("", 0.0))
            if token == claim.token:
                self._running.pop(claim.delivery, None)

    def _forget(self, now: float) -> None:
        # Leases are equally long and dicts are ordered, so the first claim expires first. The
        # same holds for seen deliveries.
        while self._running and next(iter(self._running.values()))[1] <= now:
            self._running.pop(next(iter(self._running)))
        while self._seen and (
            len(self._seen) > self._bounds.max_entries
            or next(iter(self._seen.values())) <= now - self._bounds.max_age_s
        ):
            self._seen.popitem(last=False)


class SQLiteStore:
    """A `Store` in an SQLite file that processes, threads and forked children can share.

    Records survive the process. A power failure can lose the last ones (`synchronous=NORMAL`):
    a repeat of those runs the handler once more. The file is opened at the first claim.

    Args:
        path: A file on a local disk, created if it does not exist.
        busy_s: Seconds to wait for the write lock of another process.
        clock: Returns Unix seconds.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        bounds: Bounds = _DEFAULT_BOUNDS,
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
        now = self._clock()
        claim = Claim(delivery, Standing.NEW, secrets.token_hex(8))
        with self._writing() as database:
            self._forget(database, now)
            claimed = database.execute(
                "INSERT INTO delivery (name, token, until) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET token = excluded.token, until = excluded.until"
                " WHERE seen IS NULL AND until <= ?",
                (delivery, claim.token, now + self._bounds.lease_s, now),
            )
            if claimed.rowcount:
                return claim
            seen, until = database.execute(
                "SELECT seen, until FROM delivery WHERE name = ?", (delivery,)
            ).fetchone()
        if seen is not None:
            return Claim(delivery, Standing.SEEN)
        return Claim(delivery, Standing.RUNNING, free_in_s=until - now)

    def finish(self, claim: Claim) -> None:
        now = self._clock()
        with self._writing() as database:
            # An insert if the lease expired and the row was deleted meanwhile.
            database.execute(
                "INSERT INTO delivery (name, token, until, seen) VALUES (?, '', 0, ?)"
                " ON CONFLICT (name) DO UPDATE SET token = '', until = 0, seen = excluded.seen",
                (claim.delivery, now),
            )
            self._forget(database, now)

    def release(self, claim: Claim) -> None:
        with self._writing() as database:
            # The row stays, so that retries of one event do not displace others.
            database.execute(
                "UPDATE delivery SET token = '', until = 0 WHERE name = ? AND token = ?",
                (claim.delivery, claim.token),
            )

    def close(self) -> None:
        """Close the file; the next claim reopens it."""
        with self._lock:
            if self._connection is not None and self._opened_by == os.getpid():
                self._connection.close()
            self._connection = None

    def _forget(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("DELETE FROM delivery WHERE seen <= ?", (now - self._bounds.max_age_s,))
        # By number, since a count scans the table. Running claims are kept.
        database.execute(
            "DELETE FROM delivery WHERE until <= ?"
            " AND number <= (SELECT MAX(number) FROM delivery) - ?",
            (now, self._bounds.max_entries),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock of the file; commit at the end, or roll back."""
        with self._lock:
            try:
                database = self._open()
                # Lock before reading: two readers would both find no claim.
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    # A full disk has rolled it back already.
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(
                    "store_unavailable",
                    f"The store of seen deliveries cannot be used: {error}.",
                    field=str(self._path),
                ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._opened_by != os.getpid():
            if self._connection is not None:
                # A forked child keeps its parent's connection, unused: to close it, even by
                # garbage collection, would drop the parent's locks (sqlite.org, "How To Corrupt
                # An SQLite Database File", section 2.6).
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
        """Switch to a write-ahead log, which needs one disk write less per record."""
        give_up_at_s = time.monotonic() + self._busy_s
        while True:
            try:
                database.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait here while several processes create the file: two
                # holders of a read lock would deadlock.
                busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at_s:
                    raise
                time.sleep(_BUSY_PAUSE_S)
            else:
                return
