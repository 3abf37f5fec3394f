"""Cursors of paged lists, opaque to the client."""

from __future__ import annotations

import re

from hookseal.domain.letter import LogCursor
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

_PLACE = re.compile(r"(-?\d{1,18})/(\d{1,9})/(\d{1,18})", re.ASCII)


def write(place: str) -> str:
    """Encode a cursor."""
    return base64url.encode(place.encode("utf-8", "surrogatepass")).decode()


def read(cursor: str | None) -> str | None:
    """Decode a cursor; None is the start.

    Raises:
        InvalidInputError: `cursor_invalid`.
    """
    if cursor is None:
        return None
    try:
        return base64url.decode(cursor).decode()
    except ValueError:
        raise _invalid() from None


def write_place(place: LogCursor | None) -> str | None:
    """Encode a position on a log; None is the end."""
    return None if place is None else write("/".join(map(str, place)))


def read_place(cursor: str | None) -> LogCursor | None:
    """Decode a position on a log; None is the start.

    Raises:
        InvalidInputError: `cursor_invalid`.
    """
    place = read(cursor)
    if place is None:
        return None
    parts = _PLACE.fullmatch(place)
    if parts is None:
        raise _invalid()
    return LogCursor(*map(int, parts.groups()))


def _invalid() -> InvalidInputError:
    return InvalidInputError(
        "cursor_invalid", "Give the `next_cursor` of the page before.", field="cursor"
    )
