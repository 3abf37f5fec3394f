"""Completed ranges above the low watermark, as metadata of a committed offset.

Kafka stores a text with each committed offset, by default up to 4096 bytes
(`offset.metadata.max.bytes`). It holds the gap before each range and the length of the range, as
base-128 numbers (LEB128) in base64url.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hookseal.delivery.ordering.offsets import OffsetRange

METADATA_MAX_CHARS = 4000
_PREFIX = "h1:"
_BYTES_MAX = (METADATA_MAX_CHARS - len(_PREFIX)) * 3 // 4
_MORE = 0x80
_OFFSET_BITS = 63


def encode(low_watermark: int, completed_ranges: Iterable[OffsetRange]) -> str:
    """Return at most `METADATA_MAX_CHARS` ASCII characters; empty without completed ranges.

    If not all ranges fit, the highest are left out: a crash repeats their events and loses none.
    """
    packed = bytearray()
    at = low_watermark
    for start, end in completed_ranges:
        pair = _number(start - at) + _number(end - start)
        if len(packed) + len(pair) > _BYTES_MAX:
            break
        packed += pair
        at = end
    if not packed:
        return ""
    return _PREFIX + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(metadata: str, low_watermark: int) -> list[OffsetRange]:
    """Return the completed ranges; none if hookseal did not write the metadata.

    A tool that resets the offsets of a group writes other metadata, or none.
    """
    if not metadata.startswith(_PREFIX):
        return []
    text = metadata.removeprefix(_PREFIX)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        numbers = list(_numbers(packed))
    except (binascii.Error, ValueError):
        return []
    if len(numbers) % 2:
        return []
    found, at = [], low_watermark
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        found.append((at + gap, at + gap + length))
        at += gap + length
    return found


def _number(value: int) -> bytes:
    packed = bytearray()
    while value >= _MORE:
        packed.append(value % _MORE | _MORE)
        value //= _MORE
    packed.append(value)
    return bytes(packed)


def _numbers(packed: bytes) -> Iterator[int]:
    value, shift = 0, 0
    for byte in packed:
        if shift >= _OFFSET_BITS:
            # Decoding a longer number takes quadratic time.
            raise ValueError("no offset has so many bits")
        value |= (byte % _MORE) << shift
        shift += 7
        if byte < _MORE:
            yield value
            value, shift = 0, 0
    if shift:
        raise ValueError("the last number is cut off")
