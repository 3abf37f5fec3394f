"""A Kafka record as it was read, untouched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Header", "Headers", "Position", "Record", "last_header"]

Header = tuple[str, bytes]
Headers = tuple[Header, ...]


class Position(NamedTuple):
    """Where a record stands.

    Attributes:
        partition: Counted from 0.
        offset: Counted from 0.
    """

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic.

    Attributes:
        topic: The topic's name, prefix included.
        partition: Counted from 0.
        offset: Counted from 0.
        key: The raw key, or None.
        value: The raw value, or None (a tombstone).
        headers: In their order, repeats included.
        timestamp_ms: The record's own timestamp, milliseconds since the Unix epoch.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = field(default=None, repr=False)
    headers: Headers = field(default=(), repr=False)
    timestamp_ms: int = 0


def last_header(headers: Headers, name: str) -> bytes | None:
    """Return the last value of a header, or None.

    The last one wins: a record that passes through hookseal again carries its older
    headers in front.
    """
    for key, value in reversed(headers):
        if key == name:
            return value
    return None
