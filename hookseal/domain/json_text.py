"""Validates JSON text once and keeps its bytes.

Serialising it again would change it: big integers become floats, order and repetition of members
are lost, deep nesting fails (RFC 8259 sections 4 and 6 leave these to the implementation).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate
from typing import Any

import msgspec
import orjson

from hookseal.errors import InvalidEventError

MAX_DEPTH = 64

_ALIKE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# Read as signed bytes: +1 and -1.
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
_SHALLOW = 8
_AT_BYTE = re.compile(r"\(byte (\d+)\)$")
# Possessive, and the closing quote is optional: an unterminated string matches up to the end of the
# text. Otherwise the search starts again at each quote and takes quadratic time: 27 s for 64 KiB of
# `\"`.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class _Data(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


_data_decoder = msgspec.json.Decoder(_Data)


def validate(text: bytes) -> Any:
    """Parse JSON text strictly and return its value.

    Raises InvalidEventError: `body_empty`, `json_invalid_utf8`, `json_too_deep`, `json_invalid`
    (with line and column).
    """
    if not text.strip():
        raise InvalidEventError("body_empty", "The value is empty; send a JSON document.")
    # A document with no more brackets than levels allowed cannot be too deep.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _is_too_deep(text):
        raise _too_deep()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _check_utf8(text)
        raise _no_json(error.lineno, error.colno) from None


def data_member(document: bytes) -> bytes | None:
    """Return the bytes of the last member `data` of a valid JSON object, or None."""
    raw = bytes(_data_decoder.decode(document).data)
    return raw or None


def array_elements(text: bytes, *, most: int) -> list[bytes]:
    """Return the bytes of a JSON array's elements, at most `most` + 1 of them.

    The elements are not parsed or validated, so this needs as much memory as the text. Raises
    InvalidEventError: `json_invalid_utf8`, `json_too_deep`, `json_invalid`.
    """
    try:
        found = _array_decoder(most + 1).decode(text)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        _check_utf8(text)
        at = _AT_BYTE.search(str(error))
        before = text if at is None else text[: int(at[1])]
        raise _no_json(before.count(b"\n") + 1, len(before) - before.rfind(b"\n")) from None
    return [bytes(raw) for raw in msgspec.structs.astuple(found) if raw]


@lru_cache
def _array_decoder(size: int) -> msgspec.json.Decoder[Any]:
    # A struct that is written as an array skips the elements beyond its fields. A list would hold
    # millions of them before they are counted.
    nothing = msgspec.Raw(b"")
    members = [(f"element_{number}", msgspec.Raw, nothing) for number in range(size)]
    return msgspec.json.Decoder(msgspec.defstruct("_Array", members, array_like=True))


def _too_deep() -> InvalidEventError:
    return InvalidEventError("json_too_deep", f"Nest objects and arrays at most {MAX_DEPTH} deep.")


def _no_json(line: int, column: int) -> InvalidEventError:
    return InvalidEventError(
        "json_invalid", f"The value is not JSON: line {line}, column {column}."
    )


def _check_utf8(text: bytes) -> None:
    try:
        if not text.decode().startswith("\ufeff"):
            return
    except UnicodeDecodeError:
        pass
    raise InvalidEventError(
        "json_invalid_utf8", "Encode the value as UTF-8 without a byte order mark."
    )


def _is_too_deep(text: bytes) -> bool:
    brackets = _STRING.sub(b"", text).translate(_ALIKE, _NO_BRACKETS)
    # Events are rarely nested deeper than this. Removing the innermost pairs level by level is six
    # times faster than counting.
    left = brackets
    for _ in range(_SHALLOW):
        left = left.replace(b"[]", b"")
        if not left:
            return False
    steps = memoryview(brackets.translate(_STEPS)).cast("b")
    return max(accumulate(steps), default=0) > MAX_DEPTH
