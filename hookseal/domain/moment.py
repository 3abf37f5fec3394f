"""Moments as text, thousands a second, one after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["to_the_second"]


@lru_cache(maxsize=64)
def to_the_second(unix_s: int) -> str:
    """Return a moment as RFC 3339 (section 5.6) begins: `2026-11-24T10:00:00`, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat()[:19]
