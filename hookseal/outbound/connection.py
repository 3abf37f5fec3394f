"""One connection to a receiver, with limits on what it may have us read.

aiohttp bounds a line, a header and how many there are. It does not bound how often the
same may come again: empty lines before the status line, interim answers, space before a
value, the extension of a chunk. Each of these kept a core busy until the attempt's
timeout, and one mebibyte in chunks of one byte for 0.7 s. The bytes as they come from
the socket bound them all.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from hookseal.outbound.faults import attempt_error

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

__all__ = ["ANSWER_MAX_BYTES", "BODY_MAX_BYTES", "INTERIM_MAX", "BoundedConnection", "Connector"]

BODY_MAX_BYTES: Final = 1_048_576
# Besides the body: the head, interim answers, chunk sizes, trailers.
ANSWER_MAX_BYTES: Final = BODY_MAX_BYTES + 65_536
# RFC 9110 section 15.2 allows any number of them; a sane server sends one or two.
INTERIM_MAX: Final = 8

CONNECT_TIMEOUT_S: Final = 5.0
# The whole of an attempt has its own.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
_SWITCHING_PROTOCOLS: Final = 101
_FINAL: Final = 200


class BoundedConnection(ResponseHandler):
    """aiohttp's client protocol; breaks off with an AttemptError beyond the limits."""

    _received = 0
    _interim = 0
    _answered = True
    _expiry: asyncio.TimerHandle | None = None

    def set_response_params(self, **params: Any) -> None:
        """Begin an exchange; aiohttp calls this once before each request."""
        self._received = 0
        self._interim = 0
        self._answered = False
        super().set_response_params(**params)

    def expire_in(self, seconds: float) -> None:
        """Break the exchange off after so long, unless `expire_never` comes first.

        One timer, not `asyncio.timeout`: that costs an attempt as much as its parser.
        """
        self._expiry = self._loop.call_later(seconds, self._break_off, "timeout")

    def expire_never(self) -> None:
        """The exchange is over."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        self._received += len(data)
        if self._received > ANSWER_MAX_BYTES:
            self._break_off("response_too_large")
        else:
            super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer from the parser."""
        code = data[0].code
        if self._exception is not None:
            # Broken off in the middle of a packet; the parser goes on to its end.
            return
        if self._answered:
            # An answer that nobody asked for. Left in the pool, it would be taken for the
            # answer to the next request, and that event for accepted.
            self._close()
        elif code < _FINAL and code != _SWITCHING_PROTOCOLS:
            self._interim += 1
            if self._interim > INTERIM_MAX:
                self._break_off("response_invalid")
            else:
                super().feed_data(data, size)
        else:
            self._answered = True
            super().feed_data(data, size)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Note why the connection is of no more use; the first reason stands.

        Whoever reads a body is told as well: aiohttp tells only whoever waits for a head,
        and a malformed chunk would go unnoticed until the timeout.
        """
        if self._exception is None:
            super().set_exception(exc, *cause)
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(exc)

    def _break_off(self, code: str) -> None:
        self.set_exception(attempt_error(code))
        self._close()

    def _close(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.close()


class Connector(aiohttp.TCPConnector):
    """A connector that makes bounded connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # There is no public way to choose the protocol; the hostile receivers of the tests
        # fail within seconds should an aiohttp to come ignore this.
        self._factory = partial(_bounded, self._loop)

    async def connection(
        self, dial: aiohttp.ClientRequest, key: ConnectionKey, deadline: float
    ) -> Connection:
        """Return a connection that was kept, or make one.

        Args:
            dial: Where to.
            key: Of `dial`, which makes it anew each time.
            deadline: By the loop's clock.

        Raises:
            TimeoutError: None came about until then.
            aiohttp.ClientError: None came about.
        """
        kept = await self._get(key, [])
        if kept is not None:
            return kept
        async with asyncio.timeout_at(deadline):
            return await self.connect(dial, [], _TIMEOUT)


def _bounded(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return BoundedConnection(loop)
