"""Repeated strings, stored once each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

TEXTS = """
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
"""
_CACHED = 50_000


class StringTable:
    """Ids of strings that are written. Not thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, connection: sqlite3.Connection, text: str | None) -> int | None:
        """Return the string's id; create one if it has none."""
        if text is None:
            return None
        found = self._ids.get(text)
        if found is None:
            connection.execute("INSERT OR IGNORE INTO texts (text) VALUES (?)", (text,))
            (found,) = connection.execute("SELECT id FROM texts WHERE text = ?", (text,)).fetchone()
            if len(self._ids) >= _CACHED:
                self._ids.clear()
            self._ids[text] = found
        return found

    def forget(self) -> None:
        """Clear the cache: ids of a transaction that was rolled back do not exist."""
        self._ids.clear()


def intern(connection: sqlite3.Connection, texts: Iterable[str]) -> list[int]:
    """Return the ids of those strings that have one."""
    found = (
        connection.execute("SELECT id FROM texts WHERE text = ?", (text,)).fetchone()
        for text in texts
    )
    return [row[0] for row in found if row is not None]
