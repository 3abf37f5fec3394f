"""Connections of the HTTP server: their limit, and a deadline whenever one waits for its client."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from enum import Enum
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from hookseal.api.problems import Problem
from hookseal.retry import LogThrottle
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.streams import StreamReader

# A client that still sends a body after the response must be able to read the response.
_LINGER_S = 5.0
# nginx accepts 32 KB by default.
_HEAD_MAX_BYTES = 32 * 1024
# aiohttp buffers twice as much of a body that the application does not read.
_READ_BUFFER_BYTES = 64 * 1024
# Minimum wait of a connection before a new one replaces it: with an incomplete head of a request,
# and with an unread part of its response. The first limits how fast a flood replaces its own
# connections: 512 of them can be replaced 2,000 times a second.
_ARRIVING_S = 0.25
_READING_S = 2.0
# Of the connections with the longest wait. Those behind them have waited even less.
_EVICTION_CANDIDATES = 16
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)

_log = logger("hookseal.server")


class Wait(Enum):
    """What a connection waits for. The value is the reason when it is closed."""

    HEAD = "head_timeout"  # To the end of the head, from the start or the first byte of a request.
    IDLE = "idle"  # Between two requests.
    WRITE = "write_timeout"  # While the client reads nothing of its response.


class Connections:
    """All open connections of a server. `on_room` is called when `reserve` may succeed again."""

    def __init__(
        self, name: str, limit: int, timeouts: dict[Wait, float], on_room: Callable[[], None]
    ) -> None:
        self.name = name
        self._limit = limit
        self._timeouts = timeouts
        self._shortest_s = min(timeouts.values())
        self._on_room = on_room
        self._is_room_wanted = False
        self._open: set[Connection] = set()
        self._reserved = 0
        # Ordered by the start of the wait. A dict would need time in proportion to its size to
        # find its first entry after many removals.
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._gauge = metrics.CONNECTIONS.labels(name)
        self._full = LogThrottle()

    @property
    def count(self) -> int:
        """Open and reserved connections."""
        return len(self._open) + self._reserved

    def reserve(self, now: float) -> bool:
        """Count an accepted connection; return False at the limit."""
        if self.count >= self._limit:
            if count := self._full.lines(now):
                _log.warning(
                    "server.connection_limit_reached",
                    server=self.name,
                    limit=self._limit,
                    times=count,
                )
            if not self.evict(now):
                self._is_room_wanted = True
                return False
        self._reserved += 1
        return True

    def cancel_reservation(self) -> None:
        self._reserved -= 1

    def add(self, connection: Connection) -> None:
        self._reserved -= 1
        self._open.add(connection)
        self._gauge.set(len(self._open))

    def remove(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._gauge.set(len(self._open))
        self._offer_room()

    def start_wait(self, connection: Connection) -> None:
        self._waiting[connection] = None
        self._waiting.move_to_end(connection)
        self._offer_room()

    def end_wait(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def evict(self, now: float) -> bool:
        """Close the connection that has waited longest for its client, if one may be closed.

        A client that has just connected, or still reads its response, is spared for a moment.
        """
        for connection in islice(self._waiting, _EVICTION_CANDIDATES):
            if now - connection.since >= connection.spared_s:
                del self._waiting[connection]
                self._drop(connection, "evicted")
                return True
        return False

    def abort_overdue(self, now: float) -> None:
        overdue = []
        for connection in self._waiting:
            waited_s = now - connection.since
            if waited_s < self._shortest_s:
                break
            if connection.wait is not None and waited_s >= self._timeouts[connection.wait]:
                overdue.append((connection, connection.wait.value))
        for connection, reason in overdue:
            self._waiting.pop(connection)
            self._drop(connection, reason)

    def abort_all(self) -> None:
        for connection in tuple(self._open):
            connection.abort()

    def count_closed(self, reason: str) -> None:
        metrics.CONNECTIONS_CLOSED.labels(self.name, reason).inc()

    def _offer_room(self) -> None:
        if self._is_room_wanted:
            self._is_room_wanted = False
            # Not from within the protocol's callback.
            asyncio.get_running_loop().call_soon(self._on_room)

    def _drop(self, connection: Connection, reason: str) -> None:
        # It no longer counts, although the loop closes its descriptor only in the next iteration.
        self._open.discard(connection)
        self.count_closed(reason)
        connection.abort()


class Connection(web.RequestHandler):
    """A connection that reports when it waits for its client."""

    __slots__ = ("_all", "_client", "_head_bytes", "_unread", "since", "wait", "was_made")

    def __init__(self, connections: Connections, server: web.Server, **arguments: Any) -> None:
        super().__init__(
            server,
            # The decompressed size of a body would need a limit of its own.
            auto_decompress=False,
            lingering_time=_LINGER_S,
            read_bufsize=_READ_BUFFER_BYTES,
            **arguments,
        )
        self._all = connections
        # aiohttp drops its transport when it asks it to close. That is too early for a transport
        # that cannot send its buffer.
        self._client: asyncio.Transport | None = None
        self._head_bytes = 0
        # The body of the latest request, which may still arrive after the response.
        self._unread: StreamReader | None = None
        self.wait: Wait | None = None
        self.since = 0.0
        self.was_made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but not the base class.
        self._client = cast("asyncio.Transport", transport)
        self.was_made = True
        self._all.add(self)
        self._start_wait(Wait.HEAD)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.remove(self)
        self._client = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.wait is None or self.wait is Wait.WRITE:
            return
        if self._messages:
            self._end_wait()
        elif data and (self._unread is None or self._unread.is_eof()):
            self._head_received(len(data))

    def _head_received(self, size: int) -> None:
        if self.wait is Wait.IDLE:
            self._start_wait(Wait.HEAD)
        self._head_bytes += size
        if self._head_bytes > _HEAD_MAX_BYTES and self._client is not None:
            self._all.count_closed("head_too_large")
            self._client.write(_HEAD_TOO_LARGE)
            self.force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.wait is None:
            self._start_wait(Wait.WRITE)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.wait is Wait.WRITE:
            self._end_wait()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._unread = request.content
            self._head_bytes = 0
            if self._client is not None:
                if self._messages:  # A pipelined request follows at once.
                    self._end_wait()
                else:
                    self._start_wait(Wait.IDLE)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        # aiohttp logs a stack trace for each request that it cannot parse, and repeats its bytes.
        self._all.count_closed("malformed")
        response = Problem(
            HTTPStatus.BAD_REQUEST,
            "request_malformed",
            "The request is not valid HTTP/1.1. Send a request line and at most 128 headers, each "
            "of at most 8,190 bytes.",
        ).response()
        response.force_close()
        return response

    def log_exception(self, *_: Any, **fields: Any) -> None:
        """Log the class of an error only: its text and its traceback can repeat the request."""
        error = fields.get("exc_info")
        name = type(error).__name__ if isinstance(error, BaseException) else "unknown"
        _log.error("server.request_failed", server=self._all.name, error=name)

    @property
    def spared_s(self) -> float:
        """Seconds of its wait in which no new connection replaces it."""
        if self._client is not None and self._client.get_write_buffer_size() > 0:
            return _READING_S
        return _ARRIVING_S if self.wait is Wait.HEAD else 0.0

    def abort(self) -> None:
        if self._client is not None:
            self._client.abort()

    def _start_wait(self, wait: Wait) -> None:
        self.wait = wait
        self.since = self._loop.time()
        self._all.start_wait(self)

    def _end_wait(self) -> None:
        self.wait = None
        self._all.end_wait(self)
