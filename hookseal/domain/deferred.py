"""Deferred events: events of a suspended endpoint on `dead-letters`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from hookseal.domain.dead_letter import SUSPENDED, added_headers
from hookseal.domain.event import parse_event
from hookseal.domain.record import Record
from hookseal.domain.replay import Mark, replayed_headers

if TYPE_CHECKING:
    from hookseal.domain.event import Event

_OFFSET = re.compile(r"[0-9]{1,18}")


def is_deferred(letter: Record, customer_id: str, endpoint_id: str) -> bool:
    """Return whether this dead letter waits for that endpoint to come back."""
    if letter.key != customer_id.encode():
        return False
    added = added_headers(letter.headers)
    return added.get("reason") == SUSPENDED and added.get("endpoint-id") == endpoint_id


def original_of(letter: Record) -> Record:
    """Return the original record of `events`, aimed at the endpoint of the dead letter.

    Without a recorded position, the position of the letter is used.
    """
    added = added_headers(letter.headers)
    headers = replayed_headers(
        letter.headers,
        Mark(letter.topic, letter.partition, letter.offset, letter.timestamp_ms),
        event_id=added.get("event-id", ""),
        endpoint_id=added.get("endpoint-id") or None,
        timestamp=added.get("event-timestamp"),
    )
    return Record(
        added.get("topic", letter.topic),
        _number(added.get("partition"), letter.partition),
        _number(added.get("offset"), letter.offset),
        letter.key,
        letter.value,
        headers,
        _milliseconds(added.get("event-timestamp"), letter.timestamp_ms),
    )


def event_of(letter: Record, *, max_bytes: int) -> Event:
    """Return the event of a dead letter.

    Raises:
        InvalidEventError: As `parse_event`.
    """
    return parse_event(original_of(letter), max_bytes=max_bytes)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and _OFFSET.fullmatch(text) else otherwise


def _milliseconds(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return otherwise
