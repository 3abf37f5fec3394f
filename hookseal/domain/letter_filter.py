"""Filters of dead letters and of attempts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from hookseal.domain.dead_letter import CATEGORIES, REASONS, SET_ASIDE
from hookseal.errors import InvalidInputError

Order = Literal["newest", "oldest"]

_PLACE = re.compile(r"(\d{1,9})/(\d{1,18})", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:\d{2})?)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Conditions that a dead letter meets; None = any.

    Attributes:
        since_ms: Failed at this time or later; milliseconds since the Unix epoch.
        has_customer: Only letters with a key, so with a tenant to deliver to.
    """

    customer_id: str | None = None
    endpoint_id: str | None = None
    reasons: frozenset[str] | None = None
    event_id: str | None = None
    event_type: str | None = None
    status: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    replayed: bool | None = None
    places: tuple[tuple[int, int], ...] | None = None
    has_customer: bool = False


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Conditions that an attempt meets; None = any.

    Attributes:
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status of the response.
        since_ms: Ended at this time or later; milliseconds since the Unix epoch.
    """

    customer_id: str | None = None
    endpoint_id: str | None = None
    event_id: str | None = None
    event_type: str | None = None
    code: str | None = None
    status: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None


def reasons_of(
    reason: str | None = None, category: str | None = None, *, set_aside: bool = False
) -> frozenset[str] | None:
    """Return the reasons that meet all conditions, or None for all reasons.

    `set_aside` selects events whose tenant or endpoint was disabled. Raises InvalidInputError:
    `reason_unknown`, `category_unknown`.
    """
    if reason is not None and reason not in REASONS:
        raise InvalidInputError(
            "reason_unknown", f"Give one of {', '.join(sorted(REASONS))}.", field="reason"
        )
    if category is not None and category not in CATEGORIES:
        raise InvalidInputError(
            "category_unknown", f"Give one of {', '.join(CATEGORIES)}.", field="category"
        )
    meant = [frozenset({reason})] if reason is not None else []
    if category is not None:
        meant.append(CATEGORIES[category])
    if set_aside:
        meant.append(SET_ASIDE)
    return frozenset.intersection(*meant) if meant else None


def parse_moment(text: str, *, field: str) -> int:
    """Return Unix ms of RFC 3339 or of a UTC day, or raise InvalidInputError: `time_invalid`."""
    if _MOMENT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    raise InvalidInputError(
        "time_invalid", "Write RFC 3339, 2026-11-24T10:00:00Z, or a day, 2026-11-24.", field=field
    )


def parse_place(text: str, *, field: str | None = None) -> tuple[int, int]:
    """Return the partition and offset of `3/118`, or raise InvalidInputError: `place_invalid`."""
    parts = _PLACE.fullmatch(text)
    if parts is None:
        raise InvalidInputError(
            "place_invalid", "Give PARTITION/OFFSET, 3/118.", field=field or text
        )
    return int(parts[1]), int(parts[2])
