"""JSON as it came: validated once, its bytes kept.

Re-serialising would change what the producer wrote: big integers become floats, the
order and the repeats of members are lost, deep nesting fails (RFC 8259 section 4 and 6
leave all of these to the implementation).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson

from hookseal.errors import InvalidEventError

__all__ = ["MAX_DEPTH", "data_member", "validate"]

MAX_DEPTH = 64

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class _Data(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


_data_decoder = msgspec.json.Decoder(_Data)


def validate(text: bytes) -> Any:
    """Parse JSON text strictly and return its value.

    Raises:
        InvalidEventError: `body_empty`, `json_invalid_utf8`, `json_too_deep`,
            `json_invalid` (with line and column).
    """
    if not text.strip():
        raise InvalidEventError("body_empty", "The value is empty; send a JSON document.")
    # A document with no more brackets than levels allowed cannot be too deep.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise InvalidEventError(
            "json_too_deep", f"Nest objects and arrays at most {MAX_DEPTH} levels deep."
        )
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _is_utf8(text) or text.startswith(b"\xef\xbb\xbf"):
            raise InvalidEventError(
                "json_invalid_utf8", "Encode the value as UTF-8 without a byte order mark."
            ) from None
        raise InvalidEventError(
            "json_invalid",
            f"The value is no JSON: line {error.lineno}, column {error.colno}.",
        ) from None


def data_member(document: bytes) -> bytes | None:
    """Return the bytes of the member `data` of a valid JSON object, or None.

    Where the member is repeated the last one counts, as for every parser in use here.
    """
    raw = bytes(_data_decoder.decode(document).data)
    return raw or None


def _depth(text: bytes) -> int:
    deepest = depth = 0
    for byte in _STRING.sub(b"", text):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"}]":
            depth -= 1
    return deepest


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
