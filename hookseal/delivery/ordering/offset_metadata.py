"""What is finished above the mark, as the text that goes along with a commit.

Kafka keeps a text beside each committed offset, by default up to 4096 bytes
(`offset.metadata.max.bytes`). In it stand the stretches of finished offsets: the length
of the hole before each and its own length, as base-128 numbers (LEB128), base64url.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hookseal.delivery.ordering.offsets import OffsetRange

__all__ = ["METADATA_MAX_CHARS", "decode", "encode"]

METADATA_MAX_CHARS = 4000
_PREFIX = "h1:"
_BYTES_MAX = (METADATA_MAX_CHARS - len(_PREFIX)) * 3 // 4
_MORE = 0x80
_OFFSET_BITS = 63


def encode(low_watermark: int, completed_ranges: Iterable[OffsetRange]) -> str:
    """Return the text: at most `METADATA_MAX_CHARS` ASCII characters, empty if nothing is above.

    Where not all of it fits, the highest ranges are left out: they are delivered again
    after a crash, which is a repeat and no loss.
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
    """Return what is finished above the mark.

    A text that is not ours says nothing: whoever moves a group's offsets by hand leaves
    none, or one of their own.
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
    for hole, length in zip(numbers[::2], numbers[1::2], strict=True):
        found.append((at + hole, at + hole + length))
        at += hole + length
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
            # Any longer, and each byte would cost as much as all before it.
            raise ValueError("no offset has so many bits")
        value |= (byte % _MORE) << shift
        shift += 7
        if byte < _MORE:
            yield value
            value, shift = 0, 0
    if shift:
        raise ValueError("the last number is cut off")
