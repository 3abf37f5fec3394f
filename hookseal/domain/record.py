"""A Kafka record as it was read, untouched, and sizes of records."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

# The header of a record batch, and the longest length, attributes, timestamp and offset of a record
# (KIP-98, "Message Format").
_OVERHEAD_BYTES = 61 + 21

Header = tuple[str, bytes | None]
"""Name and value. The Kafka protocol allows a null value. Bytes of a name that are not UTF-8 are
lone surrogates (PEP 383)."""

Headers = tuple[Header, ...]

# An event with more cannot be delivered: its dead letter would have no room for its value.
HEADERS_MAX_BYTES = 262_144


class Position(NamedTuple):
    """Position of a record; both are counted from 0."""

    partition: int
    offset: int


class RecordFault(msgspec.Struct, frozen=True, gc=False):
    """Why a record lacks parts of what its producer wrote, from `first_offset` to its own.

    `value_bytes` is the size of the whole value, or of the batch that cannot be decoded.
    `value_sha256` is in hexadecimal, and empty if the record has the whole value.
    """

    code: str
    error: str
    first_offset: int
    value_bytes: int
    value_sha256: str = ""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a topic.

    Attributes:
        value: None = a tombstone.
        timestamp_ms: The record's own timestamp, milliseconds since the Unix epoch. A producer
            can write any 64 bits; -1 stands for none.
        fault: Set if the record was not read whole.
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
        """Approximate bytes of memory for key, value and headers."""
        size = len(self.value or b"") + len(self.key or b"")
        return size + headers_bytes(self.headers) if self.headers else size

    def __repr__(self) -> str:
        """Return the position only: the value never appears in logs."""
        return (
            f"Record(topic={self.topic!r}, partition={self.partition}, offset={self.offset}, "
            f"key={self.key!r}, timestamp_ms={self.timestamp_ms})"
        )


def last_header(headers: Headers, name: str) -> bytes | None:
    """Return the last value of a header, empty for a null value; None = no such header.

    The last one counts: a record that passes through hookseal again has its older headers in front.
    """
    for key, value in reversed(headers):
        if key == name:
            return value or b""
    return None


def headers_bytes(headers: Headers) -> int:
    """Return the approximate bytes of all names and values."""
    return sum(len(name) + len(value or b"") for name, value in headers)


def is_utf8_name(name: str) -> bool:
    """Return whether a header name is UTF-8 on the wire."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the largest size of the record in a batch of its own, uncompressed, in bytes.

    Kafka compares it with `max.message.bytes`, the client with its largest request.
    """
    return (
        _OVERHEAD_BYTES
        + _field_bytes(key)
        + _field_bytes(value)
        + _varint_bytes(len(headers))
        + sum(map(header_bytes, headers))
    )


def header_bytes(header: Header) -> int:
    """Return the bytes that one header takes in a record."""
    name, value = header
    return _field_bytes(name.encode("utf-8", "surrogateescape")) + _field_bytes(value)


def _field_bytes(content: bytes | None) -> int:
    # The length of null is -1: one byte.
    return 1 if content is None else _varint_bytes(len(content)) + len(content)


def _varint_bytes(number: int) -> int:
    # Zigzag doubles the number; each byte carries seven bits of it.
    return max(1, -(-(number << 1).bit_length() // 7))
