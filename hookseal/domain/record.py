"""A Kafka record as it was read, untouched."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

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


class Record(msgspec.Struct, frozen=True, gc=False):
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
    value: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = 0

    def __repr__(self) -> str:
        """Return where it stands, and nothing of what it says."""
        return (
            f"Record(topic={self.topic!r}, partition={self.partition}, offset={self.offset}, "
            f"key={self.key!r}, timestamp_ms={self.timestamp_ms})"
        )


def last_header(headers: Headers, name: str) -> bytes | None:
    """Return the last value of a header, or None.

    The last one wins: a record that passes through hookseal again carries its older
    headers in front.
    """
    for key, value in reversed(headers):
        if key == name:
            return value
    return None
