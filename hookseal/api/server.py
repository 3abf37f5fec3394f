"""The HTTP server of the API and of the worker's probes: bounded connections, each with a deadline.

aiohttp parses and answers. This module accepts the connections itself, because neither event loop
does it safely: asyncio logs up to 128 lines for each failed accept, and uvloop closes the listening
socket after an accept error. aiohttp has no bound of connections, no timeout for a client that does
not read its response, and reads request heads of a megabyte.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from collections import OrderedDict
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, cast

from aiohttp import web

from hookseal.api.problems import Problem
from hookseal.descriptors import soft_limit
from hookseal.retry import LogThrottle
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from aiohttp.streams import StreamReader

# A connection costs about 10 KB, and with an unfinished head or a body that nobody reads up to
# 160 KB: 4,096 of them stay below 700 MB even then. Half of the descriptors is left to Kafka,
# files and outbound connections.
_CONNECTIONS_MAX = 4_096
# nginx and Apache allow 60 s and 20 s. A head of 8 KB takes 15 s at 550 bytes/s.
_HEAD_TIMEOUT_S = 15.0
# Longer than proxies keep an idle connection (nginx and AWS ALB: 60 s), so that the proxy closes
# it and no request is lost on a connection that the server has just closed.
_IDLE_TIMEOUT_S = 75.0
# For a client that reads nothing of its response. Every 64 KiB that it reads start it again.
_WRITE_TIMEOUT_S = 30.0
# A client that still sends a body after the response must be able to read the response.
_LINGER_S = 5.0
# nginx accepts 32 KB by default.
_HEAD_MAX_BYTES = 32 * 1024
# aiohttp buffers twice as much of a body that the application does not read.
_READ_BUFFER_BYTES = 64 * 1024
# A client that keeps its connection busy delays the shutdown no longer than this.
_SHUTDOWN_S = 5.0

_BACKLOG = 512
# Accepted before other tasks get a turn. It is also how far descriptors may exceed the limit of
# connections for a moment.
_ACCEPTS_AT_ONCE = 64
_SWEEP_S = 0.25
# Before a connection may have to make room for a new one: with the head of its request on the way,
# and with a part of its response not read yet. The first bounds how fast a flood replaces its own
# connections: 512 of them can be replaced 2,000 times a second.
_ARRIVING_S = 0.25
_READING_S = 2.0
# Of the connections that have waited longest: those behind them are even younger.
_LOOKED_AT = 16
_ACCEPT_PAUSE_S = 1.0

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)

_log = logger("hookseal.server")


def connection_limit() -> int:
    """Return how many connections a server may have open: half of the descriptors, at most 4,096.

    Call it after `hookseal.descriptors.raise_soft_limit`.
    """
    return max(1, min(_CONNECTIONS_MAX, soft_limit() // 2))


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """Listen on every address of a host.

    Args:
        host: A name or an address. A name may have an IPv4 and an IPv6 address.
        port: 0 takes a free one.

    Raises:
        OSError: An address is unknown or in use.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError:
        _close_all(sockets)
        raise
    return sockets


def listen_unix(path: Path) -> list[socket.socket]:
    """Listen on a Unix socket. The socket that an earlier process left there is replaced.

    Raises:
        OSError: The path cannot be used.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return [listening]


class HttpServer:
    """Serves an application on listening sockets; an asynchronous context manager.

    When all connections are in use, a new one takes the place of the connection that has waited
    longest for its client. While every connection has a request in progress, new ones wait in the
    kernel's queue.
    """

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        *,
        name: str,
        max_connections: int | None = None,
        head_timeout_s: float = _HEAD_TIMEOUT_S,
        idle_timeout_s: float = _IDLE_TIMEOUT_S,
        write_timeout_s: float = _WRITE_TIMEOUT_S,
    ) -> None:
        """Take over the sockets; they are closed with the server.

        Args:
            name: Label of its metrics and log lines: `api` or `probes`.
            max_connections: Open at a time; `connection_limit()` when None.
            head_timeout_s: Seconds from a connection's start, or from the first byte of a later
                request, to the end of the request's head.
            idle_timeout_s: Seconds between two requests of a connection.
            write_timeout_s: Seconds that a client may read nothing of its response.
        """
        self._sockets = list(sockets)
        self._name = name
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._connections = _Connections(
            name,
            connection_limit() if max_connections is None else max_connections,
            {
                _Wait.HEAD: head_timeout_s,
                _Wait.IDLE: idle_timeout_s,
                _Wait.WRITE: write_timeout_s,
            },
            self._accept_held,
        )
        self._accepting: set[asyncio.Task[None]] = set()
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._failures = LogThrottle()
        # Accepted when there was no room, by listening socket: one each.
        self._held: dict[socket.socket, socket.socket] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            await self._runner.setup()
        except BaseException:
            _close_all(self._sockets)
            raise
        for listening in self._sockets:
            listening.settimeout(0)
            self._watch(listening)
        self._sweeping = self._loop.create_task(self._sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for listening in self._sockets:
            self._loop.remove_reader(listening.fileno())
        _close_all([*self._sockets, *self._held.values()])
        self._held.clear()
        if self._accepting:
            await asyncio.wait(self._accepting)
        await self._runner.cleanup()
        self._sweeping.cancel()
        self._connections.abort_all()

    @property
    def port(self) -> int:
        """The TCP port of its first socket."""
        return int(self._sockets[0].getsockname()[1])

    def _watch(self, listening: socket.socket) -> None:
        self._timers.pop(listening, None)
        self._loop.add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Others are faults of the network that Linux passes on: that client is gone.
                if error.errno in _OUT_OF_RESOURCES:
                    self._pause_accepting(listening, error)
                    return
                continue
            if not self._connections.reserve(self._loop.time()):
                self._held[listening] = accepted
                self._loop.remove_reader(listening.fileno())
                return
            self._start(accepted)

    def _accept_held(self) -> None:
        for listening, accepted in tuple(self._held.items()):
            if not self._connections.reserve(self._loop.time()):
                return
            del self._held[listening]
            self._start(accepted)
            self._watch(listening)

    def _pause_accepting(self, listening: socket.socket, error: OSError) -> None:
        # The kernel reports the socket as readable all the time, so a retry at once would spin.
        self._loop.remove_reader(listening.fileno())
        self._timers[listening] = self._loop.call_later(_ACCEPT_PAUSE_S, self._watch, listening)
        metrics.CONNECTIONS_CLOSED.labels(self._name, "accept_failed").inc()
        self._connections.evict(self._loop.time())
        if count := self._failures.lines(self._loop.time()):
            _log.error(
                "server.accept_failed",
                server=self._name,
                error=errno.errorcode.get(error.errno or 0, "unknown"),
                failures=count,
                open_connections=self._connections.count,
                descriptor_limit=soft_limit(),
                hint="Raise the limit of open files (ulimit -n, LimitNOFILE=).",
            )

    def _start(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        task = self._loop.create_task(self._connect(accepted))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        connection = self._new_connection()
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            # The client is gone already.
            accepted.close()
        finally:
            if not connection.was_made:
                self._connections.cancel_reservation()

    def _new_connection(self) -> _Connection:
        server = self._runner.server
        assert server is not None  # noqa: S101 - it is set up before the first accept
        return _Connection(
            self._connections,
            server,
            loop=self._loop,
            access_log=None,
            # The decompressed size of a body would need a bound of its own.
            auto_decompress=False,
            lingering_time=_LINGER_S,
            read_bufsize=_READ_BUFFER_BYTES,
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._connections.abort_overdue(self._loop.time())
            self._accept_held()


class _Wait(Enum):
    """What a connection waits for; also the reason when it is closed."""

    HEAD = "head_timeout"
    IDLE = "idle"
    WRITE = "write_timeout"


class _Connections:
    """All open connections of a server, and those that wait for their clients."""

    def __init__(
        self,
        name: str,
        limit: int,
        timeouts: dict[_Wait, float],
        on_room: Callable[[], None],
    ) -> None:
        self._name = name
        self._limit = limit
        self._timeouts = timeouts
        self._shortest_s = min(timeouts.values())
        self._on_room = on_room
        self._is_room_wanted = False
        self._open: set[_Connection] = set()
        self._reserved = 0
        # Ordered by the time at which the wait began. A dict would need time in proportion to
        # its size to find its first entry after many removals.
        self._waiting: OrderedDict[_Connection, None] = OrderedDict()
        self._gauge = metrics.CONNECTIONS.labels(name)
        self._full = LogThrottle()

    @property
    def count(self) -> int:
        """Connections that are open, or about to be."""
        return len(self._open) + self._reserved

    def reserve(self, now: float) -> bool:
        """Count a connection that was just accepted.

        Returns:
            False if there is no room. `on_room` is called when there may be.
        """
        if self.count >= self._limit:
            if count := self._full.lines(now):
                _log.warning(
                    "server.connection_limit_reached",
                    server=self._name,
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

    def add(self, connection: _Connection) -> None:
        self._reserved -= 1
        self._open.add(connection)
        self._gauge.set(len(self._open))

    def remove(self, connection: _Connection) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)
        self._gauge.set(len(self._open))
        self._offer_room()

    def waits(self, connection: _Connection) -> None:
        self._waiting[connection] = None
        self._waiting.move_to_end(connection)
        self._offer_room()

    def works(self, connection: _Connection) -> None:
        self._waiting.pop(connection, None)

    def evict(self, now: float) -> bool:
        """Close the connection that has waited longest for its client, if there is one.

        A client that has just connected, or still reads its response, is left alone for a moment.
        """
        for connection in islice(self._waiting, _LOOKED_AT):
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

    def note_closed(self, reason: str) -> None:
        metrics.CONNECTIONS_CLOSED.labels(self._name, reason).inc()

    def _offer_room(self) -> None:
        if self._is_room_wanted:
            self._is_room_wanted = False
            # Not from within the protocol's callback.
            asyncio.get_running_loop().call_soon(self._on_room)

    def _drop(self, connection: _Connection, reason: str) -> None:
        # It no longer counts, although its descriptor is closed only in the loop's next turn.
        self._open.discard(connection)
        self.note_closed(reason)
        connection.abort()


class _Connection(web.RequestHandler):
    """A connection that reports when it waits for its client."""

    __slots__ = ("_all", "_client", "_head_bytes", "_unread", "since", "wait", "was_made")

    def __init__(self, connections: _Connections, server: web.Server, **arguments: Any) -> None:
        super().__init__(server, **arguments)
        self._all = connections
        # aiohttp forgets its transport as soon as it asks it to close, which is too early for
        # one that cannot send what is left.
        self._client: asyncio.Transport | None = None
        self._head_bytes = 0
        # The body of the latest request, which may still be on its way after the response.
        self._unread: StreamReader | None = None
        self.wait: _Wait | None = None
        self.since = 0.0
        self.was_made = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, but not the base class.
        self._client = cast("asyncio.Transport", transport)
        self.was_made = True
        self._all.add(self)
        self._begin(_Wait.HEAD)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.remove(self)
        self._client = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.wait is None or self.wait is _Wait.WRITE:
            return
        if self._messages:
            self._work()
        elif data and (self._unread is None or self._unread.is_eof()):
            self._head_received(len(data))

    def _head_received(self, size: int) -> None:
        if self.wait is _Wait.IDLE:
            self._begin(_Wait.HEAD)
        self._head_bytes += size
        if self._head_bytes > _HEAD_MAX_BYTES and self._client is not None:
            self._all.note_closed("head_too_large")
            self._client.write(_HEAD_TOO_LARGE)
            self.force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.wait is None:
            self._begin(_Wait.WRITE)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.wait is _Wait.WRITE:
            self._work()

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
                    self._work()
                else:
                    self._begin(_Wait.IDLE)

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
        self._all.note_closed("malformed")
        response = Problem(
            HTTPStatus.BAD_REQUEST,
            "request_malformed",
            "Send HTTP/1.1, with a request line and headers of at most 8,190 bytes each, and at "
            "most 128 headers.",
        ).response()
        response.force_close()
        return response

    @property
    def spared_s(self) -> float:
        """Seconds of its wait in which it need not make room for a new connection."""
        if self._client is not None and self._client.get_write_buffer_size() > 0:
            return _READING_S
        return _ARRIVING_S if self.wait is _Wait.HEAD else 0.0

    def abort(self) -> None:
        if self._client is not None:
            self._client.abort()

    def _begin(self, wait: _Wait) -> None:
        self.wait = wait
        self.since = self._loop.time()
        self._all.waits(self)

    def _work(self) -> None:
        self.wait = None
        self._all.works(self)


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for listening in sockets:
        listening.close()
