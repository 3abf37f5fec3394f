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

    from hookseal.delivery.lanes.progress import Range

__all__ = ["NOTE_MAX", "note_of", "ranges_in"]

NOTE_MAX = 4000
_PREFIX = "h1:"
_BYTES_MAX = (NOTE_MAX - len(_PREFIX)) * 3 // 4
_MORE = 0x80
_OFFSET_BITS = 63


def note_of(mark: int, above: Iterable[Range]) -> str:
    """Return the text: at most `NOTE_MAX` ASCII characters, empty if nothing is above.

    Where not all of it fits, the highest ranges are left out: they are delivered again
    after a crash, which is a repeat and no loss.
    """
    packed = bytearray()
    at = mark
    for start, end in above:
        pair = _number(start - at) + _number(end - start)
        if len(packed) + len(pair) > _BYTES_MAX:
            break
        packed += pair
        at = end
    if not packed:
        return ""
    return _PREFIX + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def ranges_in(note: str, mark: int) -> list[Range]:
    """Return what is finished above the mark.

    A text that is not ours says nothing: whoever moves a group's offsets by hand leaves
    none, or one of their own.
    """
    if not note.startswith(_PREFIX):
        return []
    text = note.removeprefix(_PREFIX)
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        numbers = list(_numbers(packed))
    except (binascii.Error, ValueError):
        return []
    if len(numbers) % 2:
        return []
    found, at = [], mark
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
