"""Where a list goes on: opaque to whoever pages through it."""

from __future__ import annotations

from hookseal.errors import InvalidInputError
from hookseal.seal import base64url

__all__ = ["read", "write"]


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
        raise InvalidInputError(
            "cursor_invalid", "Give the `next_cursor` of the page before.", field="cursor"
        ) from None
