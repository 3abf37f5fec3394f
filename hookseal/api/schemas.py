"""Base of all requests and responses, and cursors of paged lists, opaque to the client."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from hookseal.domain.event import CUSTOMER_ID_MAX
from hookseal.domain.letter import LogCursor
from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

Text = Annotated[str, Meta(max_length=255)]
Cursor = Annotated[
    str, Meta(max_length=1024, description="The `next_cursor` of the previous page.")
]
CustomerId = Annotated[
    str, Meta(min_length=1, max_length=CUSTOMER_ID_MAX, description="Stable id of the tenant.")
]
Limit = Annotated[int, Meta(ge=1, le=1000)]
LIMIT_DEFAULT = 100
_POSITION = re.compile(r"(-?\d{1,18})/(\d{1,9})/(\d{1,18})", re.ASCII)


class Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body or query. An unknown member is refused, since it may be misspelled."""


class Output(Struct, frozen=True, kw_only=True):
    """A response body."""


class Page(Input, frozen=True):
    """One page of a list."""

    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


def write_cursor(text: str) -> str:
    """Encode a cursor."""
    return base64url.encode(text.encode("utf-8", "surrogatepass")).decode()


def read_cursor(cursor: str | None) -> str | None:
    """Decode a cursor, where None is the start; raise `cursor_invalid`."""
    if cursor is None:
        return None
    try:
        return base64url.decode(cursor).decode()
    except ValueError:
        raise _invalid() from None


def write_position(position: LogCursor | None) -> str | None:
    """Encode a position in an index; None is the end."""
    return None if position is None else write_cursor("/".join(map(str, position)))


def read_position(cursor: str | None) -> LogCursor | None:
    """Decode a position in an index, where None is the start; raise `cursor_invalid`."""
    text = read_cursor(cursor)
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
