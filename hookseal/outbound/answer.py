"""Reads an answer to its end, whatever the receiver makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import ClientOSError, ClientPayloadError

from hookseal.outbound.connection import BODY_MAX_BYTES
from hookseal.outbound.faults import attempt_error

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["finish"]

_STATUS_MIN: Final = 200
_STATUS_MAX: Final = 599


async def finish(response: ClientResponse) -> None:
    """Judge the status, read the body to its end, a piece at a time, and drop it.

    The end is waited for, since an answer is only complete with its body, and since only
    then the connection can carry the next request. Small answers are complete by the
    time their headers are read, and cost nothing here.

    Raises:
        AttemptError: `response_too_large`, above 1 MiB; `response_invalid`, for a status
            that HTTP has none of, or `101`, which nobody asked for.
        aiohttp.ClientError: The body broke off or is malformed.
    """
    if not _STATUS_MIN <= response.status <= _STATUS_MAX:
        raise attempt_error("response_invalid")
    content = response.content
    connection = response.connection
    protocol = None if connection is None else connection.protocol
    try:
        while not content.is_eof() and content.total_bytes <= BODY_MAX_BYTES:
            await content.readany()
    except ClientPayloadError:
        # Which of the two it was: the receiver miscounted, or the connection broke.
        lost = None if protocol is None else protocol.exception()
        if isinstance(lost, ClientOSError):
            raise lost from None
        raise
    if content.total_bytes > BODY_MAX_BYTES:
        raise attempt_error("response_too_large")
