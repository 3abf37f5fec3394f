"""One HTTP/1.1 request (RFC 9112) and its response over a connection of aiohttp.

aiohttp dials and keeps the connection and parses the response. Its session, which is in between,
costs more than both and builds each request with about forty calls. Our requests are alike: `POST`,
a body of known length, headers of the endpoint and of the encryption. So the head is prepared per
endpoint, and only the parts that differ are written for each attempt.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp
from aiohttp import hdrs

from hookseal.delivery.ports import Answer, NotSentError
from hookseal.outbound.connection import BODY_MAX_BYTES, BoundedConnection
from hookseal.outbound.faults import attempt_error, fault_of, request_invalid

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Mapping

    from aiohttp import StreamReader
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from yarl import URL

READ_BUFFER_BYTES: Final = 16_384
_INTERIM: Final = range(100, 200)
_SWITCHING_PROTOCOLS: Final = 101
_STATUS_MIN: Final = 200
_STATUS_MAX: Final = 599
# RFC 9110 section 5.5: no control character but the tab.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Set by us only (RFC 9112 section 6): a second one would change the length of the body.
_FRAMING: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class Destination(NamedTuple):
    """The URL of an endpoint, prepared.

    Attributes:
        dial: Tells aiohttp's connector where to connect; never sent.
        key: Of the connections in the pool.
        head: Request line and constant headers.
    """

    dial: aiohttp.ClientRequest
    key: ConnectionKey
    head: str


def destination_of(url: URL, loop: AbstractEventLoop) -> Destination:
    """Return the part that all requests to a URL share.

    Raises:
        ValueError: The URL has no host.
    """
    head = (
        f"POST {url.raw_path_qs} HTTP/1.1\r\n"
        f"Host: {url.host_port_subcomponent}\r\n"
        # Nothing here decompresses a body.
        "Accept-Encoding: identity\r\n"
    )
    dial = aiohttp.ClientRequest("POST", url, loop=loop)
    return Destination(dial, dial.connection_key, head)


def message_of(destination: Destination, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the bytes of the request.

    Raises:
        SealError: `request_invalid`, a header contains a line end or sets the body's length.
    """
    if not _FRAMING.isdisjoint(map(str.lower, headers)):
        raise request_invalid()
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # One line end per header is ours. Another one was smuggled in.
    if _FORBIDDEN.search(fields.replace("\r\n", "", len(headers))):
        raise request_invalid()
    head = f"{destination.head}{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def was_closed_while_idle(protocol: ResponseHandler | None, error: Exception) -> bool:
    """Return whether an idle connection broke before the first byte of the response.

    Most likely the receiver closed it while the request was on its way. It may also have received
    the request: receivers drop duplicates by `webhook-id`.
    """
    assert isinstance(protocol, BoundedConnection)  # noqa: S101 - the connector's own
    return protocol.is_unanswered and fault_of(error).code == "connection_reset"


async def exchange(
    connection: Connection, message: bytes, deadline: float, may_send: Callable[[], bool]
) -> Answer:
    """Send a request, read the response to its end by `deadline` (loop time), drop the body.

    The connection goes back to the pool or is closed. `may_send` is called before the first byte.
    Both event loops pass the request to the kernel in the same step, so only a process that is
    frozen within this step can send too late.

    Raises:
        NotSentError: `may_send` returned False.
        AttemptError: `timeout`; `response_too_large`, above 1 MiB; `response_invalid`, for an
            unknown status, or for 101.
        aiohttp.ClientError: The connection broke, or the response is malformed.
        OSError: The same.
    """
    if not may_send():
        connection.release()
        raise NotSentError
    try:
        protocol, transport = connection.protocol, connection.transport
        assert isinstance(protocol, BoundedConnection)  # noqa: S101 - the connector's own
        assert transport is not None  # noqa: S101 - it is connected
        protocol.expire_in(deadline - asyncio.get_running_loop().time())
        protocol.set_response_params(
            read_until_eof=True, auto_decompress=False, read_bufsize=READ_BUFFER_BYTES
        )
        transport.write(message)
        try:
            answer = await _answer(protocol)
        finally:
            protocol.expire_never()
        # If the response came before the whole request was sent, the rest of the request would
        # precede the next one.
        is_over = transport.get_write_buffer_size() == 0
    except BaseException:
        # Closed: the next request must not read the rest of this response.
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
    # A small response is complete when its headers are read.
    if not content.is_eof():
        await _drop(content, protocol)
    if content.total_bytes > BODY_MAX_BYTES:
        raise attempt_error("response_too_large")
    return Answer(head.code, head.headers.get(hdrs.RETRY_AFTER))


async def _drop(content: StreamReader, protocol: ResponseHandler) -> None:
    """Read the body to its end, without which the connection cannot carry the next request."""
    try:
        while not content.is_eof() and content.total_bytes <= BODY_MAX_BYTES:
            await content.readany()
    except aiohttp.ClientPayloadError:
        # Either the receiver sent a wrong length, or the connection broke.
        lost = protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError):
            raise lost from None
        raise
