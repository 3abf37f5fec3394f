"""Moments as text, thousands a second, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# 9999-12-31T23:59:59.999Z, the last moment that RFC 3339 can write. A producer can
# give a record any 64 bits.
TIMESTAMP_MS_MAX = 253_402_300_799_999


@lru_cache(maxsize=64)
def format_utc_seconds(unix_s: int) -> str:
    """Return a moment as RFC 3339 (section 5.6) begins: `2026-11-24T10:00:00`, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[:19]


def rfc3339(unix_s: float) -> str:
    """Return a moment as RFC 3339, in UTC, with milliseconds.

    A moment before 1970 or after 9999 is written as the nearest one between them.
    """
    moment = min(max(0.0, unix_s), TIMESTAMP_MS_MAX / 1000)
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
