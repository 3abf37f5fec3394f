"""A Kafka record as it was read, untouched."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

__all__ = [
    "HEADERS_MAX_BYTES",
    "Header",
    "Headers",
    "Position",
    "Record",
    "RecordFault",
    "headers_bytes",
    "last_header",
]

Header = tuple[str, bytes | None]
"""Name and value. The Kafka protocol allows a null value. Bytes of a name that are not UTF-8 are
lone surrogates (PEP 383)."""

Headers = tuple[Header, ...]

# An event with more cannot be delivered: its dead letter would have no room for its value.
HEADERS_MAX_BYTES = 262_144


class Position(NamedTuple):
    """Where a record stands.

    Attributes:
        partition: Counted from 0.
        offset: Counted from 0.
    """

    partition: int
    offset: int


class RecordFault(msgspec.Struct, frozen=True, gc=False):
    """Why a record does not hold all that its producer wrote.

    Attributes:
        code: The reason of its dead letter.
        error: One sentence for a person.
        first_offset: The first offset that is concerned; the record's own is the last.
        value_bytes: The size of the whole value, or of the batch that cannot be decoded.
        value_sha256: Its SHA-256 in hexadecimal; empty if the record has the whole value.
    """

    code: str
    error: str
    first_offset: int
    value_bytes: int
    value_sha256: str = ""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic.

    Attributes:
        topic: The topic's name, prefix included.
        partition: Counted from 0.
        offset: Counted from 0.
        key: The raw key, or None.
        value: The raw value, or None (a tombstone).
        headers: In their order, repeats included.
        timestamp_ms: The record's own timestamp, milliseconds since the Unix epoch. A producer
            can write any 64 bits; -1 stands for none.
        fault: Set where the record was not read whole.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = 0
    fault: RecordFault | None = None

    @property
    def size(self) -> int:
        """Bytes of memory that its key, value and headers take, about."""
        size = len(self.value or b"") + len(self.key or b"")
        return size + headers_bytes(self.headers) if self.headers else size

    def __repr__(self) -> str:
        """Return where it stands, and nothing of what it says."""
        return (
            f"Record(topic={self.topic!r}, partition={self.partition}, offset={self.offset}, "
            f"key={self.key!r}, timestamp_ms={self.timestamp_ms})"
        )


def last_header(headers: Headers, name: str) -> bytes | None:
    """Return the last value of a header; None if there is no such header.

    A null value is returned as an empty one. The last header counts: a record that passes
    through hookseal again carries its older headers in front.
    """
    for key, value in reversed(headers):
        if key == name:
            return value or b""
    return None


def headers_bytes(headers: Headers) -> int:
    """Return the size of a header table: its names and values in bytes, about."""
    return sum(len(name) + len(value or b"") for name, value in headers)
