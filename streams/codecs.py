"""From Faust's messages to our records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hookseal.domain.record import Record

if TYPE_CHECKING:
    from faust.types import HeadersArg, Message

    from hookseal.domain.record import Headers

__all__ = ["record_in"]


def record_in(message: Message) -> Record:
    """Return what was fetched, out of what Faust made of it."""
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=_headers(message.headers),
        timestamp_ms=round(message.timestamp * 1000),
    )


def _headers(headers: HeadersArg | None) -> Headers:
    # Of the message, not of the event: there they are a dictionary, and repeats are lost.
    if isinstance(headers, Mapping):
        return tuple(headers.items())
    return tuple(headers or ())
