"""One request and its answer over a connection of aiohttp's.

aiohttp finds, dials and keeps the connection, and parses the answer. What lies between,
its session, costs more than both: it is made for any request, and ours are all alike.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs

from hookseal.delivery.ports import Answer, NotSentError
from hookseal.outbound.connection import BODY_MAX_BYTES, BoundedConnection
from hookseal.outbound.faults import attempt_error, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection

    from hookseal.outbound.connection import Connector
    from hookseal.outbound.request import Destination

READ_BUFFER_BYTES: Final = 16_384
_INTERIM: Final = range(100, 200)
_SWITCHING_PROTOCOLS: Final = 101
_STATUS_MIN: Final = 200
_STATUS_MAX: Final = 599


async def exchange(
    connector: Connector,
    destination: Destination,
    message: bytes,
    timeout_s: float,
    may_send: Callable[[], bool],
) -> Answer:
    """Send a request, read its answer to the end, and drop the body.

    A request that breaks on a kept connection is sent once more, on a new connection.

    Args:
        connector: Where connections come from and go back to.
        destination: Where to.
        message: Head and body as they go on the wire.
        timeout_s: Seconds for all of it, connect to last byte. The wait for a free connection of
            the pool is bounded by as many seconds and does not count.
        may_send: Asked when the connection is there. Both event loops hand the request to
            the kernel in the same step, so that nothing can come in between but the process
            being stopped in the middle of it.

    Raises:
        NotSentError: `may_send` said no; the connection is kept for the next.
        AttemptError: `timeout`; `response_too_large`, above 1 MiB; `response_invalid`, for
            a status that HTTP has none of, or `101`, which nobody asked for.
        LocalResourceError: This process has no free connection, descriptor, port or memory.
        aiohttp.ClientError: No connection came about, it broke, or what came is no answer.
        OSError: The same.
    """
    key = destination.key
    await connector.enter(key, timeout_s)
    try:
        deadline = asyncio.get_running_loop().time() + timeout_s
        kept = connector.idle(key)
        if kept is not None:
            protocol = kept.protocol
            try:
                return await _over(kept, message, deadline, may_send)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not _was_closed_while_idle(protocol, error):
                    raise
        dialled = await connector.dial(destination.dial, key, deadline)
        return await _over(dialled, message, deadline, may_send)
    finally:
        connector.leave(key)


def _was_closed_while_idle(protocol: ResponseHandler | None, error: Exception) -> bool:
    """Return whether a kept connection broke before a byte of the answer came.

    The receiver most likely closed the connection when the request was already on its way. It may
    also have received the request: receivers drop duplicates by `webhook-id`.
    """
    assert isinstance(protocol, BoundedConnection)  # noqa: S101 - the connector's own
    return protocol.is_unanswered and fault_of(error).code == "connection_reset"


async def _over(
    connection: Connection, message: bytes, deadline: float, may_send: Callable[[], bool]
) -> Answer:
    """Make the exchange over this connection, and keep or close the connection."""
    if not may_send():
        connection.release()
        raise NotSentError
    try:
        protocol, transport = connection.protocol, connection.transport
        assert isinstance(protocol, BoundedConnection)  # noqa: S101 - the connector's own
        assert transport is not None  # noqa: S101 - it is connected, or would not be here
        protocol.expire_in(deadline - asyncio.get_running_loop().time())
        protocol.set_response_params(
            read_until_eof=True, auto_decompress=False, read_bufsize=READ_BUFFER_BYTES
        )
        transport.write(message)
        try:
            answer = await _answer(protocol)
        finally:
            protocol.expire_never()
        # An answer that came before the request was out: what is left of that would stand
        # in front of the next one.
        is_over = transport.get_write_buffer_size() == 0
    except BaseException:
        # Closed, not released: what is left on the connection is not for the next.
        connection.close()
        raise
    if is_over:
        connection.release()
    else:
        connection.close()
    return answer


async def _answer(protocol: ResponseHandler) -> Answer:
    while True:
        head, content = await protocol.read()
        if head.code not in _INTERIM or head.code == _SWITCHING_PROTOCOLS:
            break
    if not _STATUS_MIN <= head.code <= _STATUS_MAX:
        raise attempt_error("response_invalid")
    # Small answers are complete by the time their headers are read, and cost nothing here.
    if not content.is_eof():
        await _drop(content, protocol)
    if content.total_bytes > BODY_MAX_BYTES:
        raise attempt_error("response_too_large")
    return Answer(head.code, head.headers.get(hdrs.RETRY_AFTER))


async def _drop(content: StreamReader, protocol: ResponseHandler) -> None:
    """Read the body to its end, a piece at a time.

    The end is waited for, since an answer is only complete with its body, and since only
    then the connection can carry the next request.
    """
    try:
        while not content.is_eof() and content.total_bytes <= BODY_MAX_BYTES:
            await content.readany()
    except aiohttp.ClientPayloadError:
        # Which of the two it was: the receiver miscounted, or the connection broke.
        lost = protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost from None
        raise
