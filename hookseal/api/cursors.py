"""Where a list goes on: opaque to whoever pages through it."""

from __future__ import annotations

import re

from hookseal.domain.letter import LogCursor
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

_PLACE = re.compile(r"(-?\d{1,18})/(\d{1,9})/(\d{1,18})", re.ASCII)


def write(place: str) -> str:
    """Return the cursor of a place."""
    return base64url.encode(place.encode("utf-8", "surrogatepass")).decode()


def read(cursor: str | None) -> str | None:
    """Return the place that a cursor stands for; None is the start.

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
    """Return the cursor of a place on a log; None is the end."""
    return None if place is None else write("/".join(map(str, place)))


def read_place(cursor: str | None) -> LogCursor | None:
    """Return the place on a log that a cursor stands for; None is the start.

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
