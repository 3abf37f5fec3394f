"""Cursors of paged lists, opaque to the client."""

from __future__ import annotations

import re

from hookseal.domain.letter import LogCursor
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

_POSITION = re.compile(r"(-?\d{1,18})/(\d{1,9})/(\d{1,18})", re.ASCII)


def write(text: str) -> str:
    """Encode a cursor."""
    return base64url.encode(text.encode("utf-8", "surrogatepass")).decode()


def read(cursor: str | None) -> str | None:
    """Decode a cursor, where None is the start; raise `cursor_invalid`."""
    if cursor is None:
        return None
    try:
        return base64url.decode(cursor).decode()
    except ValueError:
        raise _invalid() from None


def write_position(position: LogCursor | None) -> str | None:
    """Encode a position in an index; None is the end."""
    return None if position is None else write("/".join(map(str, position)))


def read_position(cursor: str | None) -> LogCursor | None:
    """Decode a position in an index, where None is the start; raise `cursor_invalid`."""
    text = read(cursor)
    if text is None:
        return None
    parts = _POSITION.fullmatch(text)
    if parts is None:
        raise _invalid()
    return LogCursor(*map(int, parts.groups()))


def _invalid() -> InvalidInputError:
    return InvalidInputError(
        "cursor_invalid", "Send the `next_cursor` of the previous page.", field="cursor"
    )
