"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

# 9999-12-31T23:59:59.999Z, the last time in RFC 3339. A producer can give a record any 64 bits.
TIMESTAMP_MS_MAX = 253_402_300_799_999


@lru_cache(maxsize=64)
def format_utc_seconds(unix_s: int) -> str:
    """Return the beginning of RFC 3339 (section 5.6) in UTC: `2026-11-24T10:00:00`."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[:19]


def rfc3339(unix_s: float) -> str:
    """Return RFC 3339 in UTC with milliseconds, clamped to the years 1970 to 9999."""
    moment = min(max(0.0, unix_s), TIMESTAMP_MS_MAX / 1000)
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
