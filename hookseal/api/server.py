"""The HTTP server of the API and of the worker's probes: bounded connections, each with a deadline.

aiohttp parses and answers. This module accepts the connections itself, because neither event loop
does it safely: asyncio logs up to 128 lines for each failed accept, and uvloop closes the listening
socket after an accept error. aiohttp has no limit of connections, no timeout for a client that does
not read its response, and reads request heads of a megabyte.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from aiohttp import web

from hookseal.api.connections import Connection, Connections, Wait
from hookseal.descriptors import soft_limit
from hookseal.retry import LogThrottle
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# A connection costs about 10 KB, and with an unfinished head or a body that nobody reads up to
# 160 KB: 4,096 of them stay below 700 MB even then. Half of the descriptors is left to Kafka,
# files and outbound connections.
_CONNECTIONS_MAX = 4_096
_TIMEOUTS_S = {
    # nginx and Apache allow 60 s and 20 s. A head of 8 KB takes 15 s at 550 bytes/s.
    Wait.HEAD: 15.0,
    # Longer than proxies keep an idle connection (nginx and AWS ALB: 60 s), so that the proxy
    # closes it and no request is lost on a connection that the server has just closed.
    Wait.IDLE: 75.0,
    # Every 64 KiB of its response that a client reads restart it.
    Wait.WRITE: 30.0,
}
# A client that keeps its connection busy delays the shutdown no longer than this.
_SHUTDOWN_S = 5.0

_BACKLOG = 512
# Accepted before other tasks run. The descriptors may exceed the limit of connections by as many
# for a moment.
_ACCEPTS_AT_ONCE = 64
_SWEEP_S = 0.25
_ACCEPT_PAUSE_S = 1.0
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logger("hookseal.server")


def connection_limit() -> int:
    """Return half of the descriptors (after `raise_soft_limit`), at most 4,096."""
    return max(1, min(_CONNECTIONS_MAX, soft_limit() // 2))


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses of a host; port 0 takes a free one. Raise `OSError`."""
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
    """Listen on a Unix socket; replace that of an earlier process. Raise `OSError`."""
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

    At the limit of connections, a new one replaces the connection that has waited longest for its
    client. While every connection has a request in progress, new ones wait in the kernel's queue.

    Args:
        sockets: Listening. They are closed with the server.
        name: Label of its metrics and log lines: `api` or `probes`.
        max_connections: `connection_limit()` when None.
        timeouts_s: Instead of the defaults.
    """

    def __init__(
        self,
        app: web.Application,
        sockets: Sequence[socket.socket],
        *,
        name: str,
        max_connections: int | None = None,
        timeouts_s: Mapping[Wait, float] | None = None,
    ) -> None:
        self._sockets = list(sockets)
        self._name = name
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._connections = Connections(
            name,
            connection_limit() if max_connections is None else max_connections,
            {**_TIMEOUTS_S, **(timeouts_s or {})},
            self._accept_held,
        )
        self._accepting: set[asyncio.Task[None]] = set()
        self._timers: dict[socket.socket, asyncio.TimerHandle] = {}
        self._failures = LogThrottle()
        # By listening socket: one connection that was accepted at the limit.
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
                # Linux reports other errors of the network, too: that client is gone.
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
        # The socket stays readable, so a retry at once would spin.
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
        server = self._runner.server
        assert server is not None  # noqa: S101 - it is set up before the first accept
        connection = Connection(self._connections, server, loop=self._loop, access_log=None)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            # The client is gone already.
            accepted.close()
        finally:
            if not connection.was_made:
                self._connections.cancel_reservation()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self._connections.abort_overdue(self._loop.time())
            self._accept_held()


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for listening in sockets:
        listening.close()
