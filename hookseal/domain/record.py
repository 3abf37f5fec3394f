"""A Kafka record as it was read, untouched."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

# The header of a record batch, and a record's length, attributes, timestamp and offset at their
# longest (KIP-98, "Message Format").
_OVERHEAD_BYTES = 61 + 21

Header = tuple[str, bytes | None]
"""Name and value. The Kafka protocol allows a null value. Bytes of a name that are not UTF-8 are
lone surrogates (PEP 383)."""

Headers = tuple[Header, ...]

# An event with more cannot be delivered: its dead letter would have no room for its value.
HEADERS_MAX_BYTES = 262_144


class Position(NamedTuple):
    """Position of a record.

    Attributes:
        partition: Counted from 0.
        offset: Counted from 0.
    """

    partition: int
    offset: int


class RecordFault(msgspec.Struct, frozen=True, gc=False):
    """Why a record does not have all that its producer wrote.

    Attributes:
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
        partition: Counted from 0.
        offset: Counted from 0.
        key: The raw key, or None.
        value: The raw value, or None (a tombstone).
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


def encoded_name(name: str) -> bytes:
    """Return a header name's bytes; surrogates stand for bytes that are not UTF-8 (PEP 383)."""
    return name.encode("utf-8", "surrogateescape")


def is_utf8_name(name: str) -> bool:
    """Return whether a header name is UTF-8 on the wire."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the most bytes that the record takes in a batch of its own, uncompressed.

    Kafka compares this number with `max.message.bytes`, the client with its largest request.
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
    return _field_bytes(encoded_name(name)) + _field_bytes(value)


def _field_bytes(content: bytes | None) -> int:
    # The length of null is -1: one byte.
    return 1 if content is None else _varint_bytes(len(content)) + len(content)


def _varint_bytes(number: int) -> int:
    # Zigzag doubles the number; each byte carries seven bits of it.
    return max(1, -(-(number << 1).bit_length() // 7))
