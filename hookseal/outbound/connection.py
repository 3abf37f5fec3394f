"""Connections to receivers: limits on the response, and a bounded pool.

aiohttp limits lines, headers and their number. It does not limit repetitions: empty lines before
the status line, interim responses, space before a value, chunk extensions. Each of these kept a
core busy until the attempt's timeout, and 1 MiB in chunks of one byte for 0.7 s. A limit on the
bytes from the socket covers them all.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from hookseal.delivery.limits.concurrency import FairSemaphore
from hookseal.delivery.local_resources import DESCRIPTORS, PORTS, exhausted_resource
from hookseal.errors import LocalResourceError
from hookseal.outbound.faults import attempt_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import AddrInfoType
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader

BODY_MAX_BYTES: Final = 1_048_576
# Besides the body: the head, interim responses, chunk sizes, trailers.
ANSWER_MAX_BYTES: Final = BODY_MAX_BYTES + 65_536
# RFC 9110 section 15.2 allows any number of interim responses; servers send one or two.
INTERIM_MAX: Final = 8

CONNECT_TIMEOUT_S: Final = 5.0
# `expire_in` limits the whole attempt.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
_SWITCHING_PROTOCOLS: Final = 101
_FINAL: Final = 200


class BoundedConnection(ResponseHandler):
    """aiohttp's client protocol; aborts with an AttemptError beyond the limits."""

    _received = 0
    _interim = 0
    _answered = True
    _expiry: asyncio.TimerHandle | None = None

    @property
    def is_unanswered(self) -> bool:
        """Whether no byte arrived since the last request began."""
        return self._received == 0

    def set_response_params(self, **params: Any) -> None:
        """Start an exchange; aiohttp calls this once before each request."""
        self._received = 0
        self._interim = 0
        self._answered = False
        super().set_response_params(**params)

    def expire_in(self, seconds: float) -> None:
        """Abort the exchange after `seconds`. `asyncio.timeout` costs as much as the parser."""
        self._expiry = self._loop.call_later(seconds, self._break_off, "timeout")

    def expire_never(self) -> None:
        """Cancel the timer of `expire_in`."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def data_received(self, data: bytes) -> None:
        """Count bytes from the socket before aiohttp parses them."""
        self._received += len(data)
        if self._received > ANSWER_MAX_BYTES:
            self._break_off("response_too_large")
        else:
            super().data_received(data)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Check the head of a response from the parser."""
        code = data[0].code
        if self._exception is not None:
            # Aborted in the middle of a packet, which the parser still reads to its end.
            return
        if self._answered:
            # A response without a request. In the pool it would count as the response to the next
            # request, and that event as accepted.
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
        """Keep the first error, and raise it to readers of the body too.

        aiohttp raises it to readers of a head only: a malformed chunk would wait for the timeout.
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
            # `close` would wait for a receiver that may never read the rest of the request.
            self.transport.abort()


class Connector(aiohttp.TCPConnector):
    """A bounded pool of bounded connections.

    aiohttp limits the connections in use and keeps any number of idle ones: one delivery to each
    of 1,500 hosts leaves 1,500 open sockets. Here `sockets` limits both together, `in_use` and
    `per_host` the connections in use. A new connection first closes the one that was idle longest.
    Each operation takes constant time.
    """

    def __init__(
        self, *, sockets: int, in_use: int, per_host: int, idle_s: float, **options: Any
    ) -> None:
        super().__init__(limit=0, limit_per_host=0, keepalive_timeout=idle_s, **options)
        # aiohttp has no public way to choose the protocol.
        make: Callable[..., ResponseHandler] = BoundedConnection
        self._factory = partial(make, self._loop)
        self._sockets = sockets
        self._idle_s = idle_s
        self._slots = FairSemaphore(in_use, per_host)
        # All idle connections, the longest idle first. `_conns`, which aiohttp closes with the
        # connector, has the same connections by host and in the same order.
        self._idle: OrderedDict[ResponseHandler, ConnectionKey] = OrderedDict()
        self._shortages = 0

    @property
    def open_count(self) -> int:
        """Open and opening connections, idle ones included."""
        return self._slots.count + len(self._idle)

    async def enter(self, key: ConnectionKey, timeout_s: float) -> None:
        """Wait for a permit to use one connection to a host; `leave` must follow.

        Raises:
            LocalResourceError: `connections` or `connections_per_host`: all stayed in use for
                `timeout_s`.
            aiohttp.ClientConnectionError: The connector is closed.
        """
        if self._closed:
            raise aiohttp.ClientConnectionError
        if self._slots.try_acquire(key):
            return
        try:
            async with asyncio.timeout(timeout_s):
                has_entered = await self._slots.acquire(key)
        except TimeoutError:
            which = "connections_per_host" if self._slots.has_room() else "connections"
            raise LocalResourceError(which) from None
        if not has_entered:
            raise aiohttp.ClientConnectionError

    def leave(self, key: ConnectionKey) -> None:
        """Pass the permit to the next waiting request."""
        self._slots.release(key)

    def idle(self, key: ConnectionKey) -> Connection | None:
        """Return the last used idle connection, which the receiver closes last, or None."""
        if (kept := self._conns.get(key)) is None:
            return None
        oldest = monotonic() - self._idle_s
        found = None
        while kept and found is None:
            protocol, since = kept.pop()
            del self._idle[protocol]
            if protocol.is_connected() and since >= oldest:
                found = protocol
            else:
                protocol.abort()
        if not kept:
            del self._conns[key]
        return None if found is None else self._used(key, found)

    async def dial(
        self, request: aiohttp.ClientRequest, key: ConnectionKey, deadline: float
    ) -> Connection:
        """Open a connection to the host of `request` by `deadline` (loop time).

        Raises:
            TimeoutError: The deadline passed.
            LocalResourceError: This process has no free descriptor, port or memory.
            aiohttp.ClientError: The connection could not be opened.
        """
        while self._idle and self.open_count > self._sockets:
            self._close_oldest()
        # The loop closes the descriptors of aborted connections before this task continues.
        await asyncio.sleep(0)
        shortages = self._shortages
        try:
            async with asyncio.timeout_at(deadline):
                protocol = await self._create_connection(request, [], _TIMEOUT)
        except aiohttp.ClientConnectorDNSError as error:
            resource = exhausted_resource(error.os_error)
            # c-ares reports a missing descriptor as "Could not contact DNS servers".
            if resource is None and (self._shortages > shortages or not _has_descriptor()):
                resource = DESCRIPTORS
            if resource is None:
                raise
            raise self._shortage(resource) from error
        except (aiohttp.ClientConnectorError, LocalResourceError):
            # `_wrap_create_connection` classified it.
            raise
        except Exception as error:
            if resource := exhausted_resource(error):
                raise self._shortage(resource) from error
            raise
        if self._closed:
            protocol.abort()
            raise aiohttp.ClientConnectionError
        return self._used(key, protocol)

    def close_idle(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._close_oldest()

    def _used(self, key: ConnectionKey, protocol: ResponseHandler) -> Connection:
        self._acquired.add(protocol)
        return Connection(self, key, protocol, self._loop)

    def _shortage(self, resource: str) -> LocalResourceError:
        self._shortages += 1
        self.close_idle()
        return LocalResourceError(resource)

    async def _wrap_create_connection(
        self, *args: Any, addr_infos: list[AddrInfoType], **options: Any
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        # aiohttp calls this for all addresses of a host, and after each failure for one address
        # less. It reports the last failure only.
        try:
            return await super()._wrap_create_connection(*args, addr_infos=addr_infos, **options)
        except aiohttp.ClientConnectorError as error:
            resource = exhausted_resource(error.os_error)
            if resource is None or (resource == PORTS and not _has_source(addr_infos)):
                raise
            raise self._shortage(resource) from error

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        """Keep a connection for the next request, or abort it; aiohttp's `Connection` calls it.

        `close` would keep the descriptor uncounted: until the receiver reads the rest of a request,
        and 30 s if the receiver does not answer the end of TLS.
        """
        if self._closed:
            return
        self._acquired.discard(protocol)
        if should_close or protocol.should_close or not protocol.is_connected():
            protocol.abort()
            return
        self._conns[key].append((protocol, monotonic()))
        self._idle[protocol] = key
        if self._cleanup_handle is None:
            self._cleanup_handle = self._loop.call_later(self._idle_s, self._cleanup)

    def _cleanup(self) -> None:
        """Close connections that were idle too long."""
        self._cleanup_handle = None
        oldest = monotonic() - self._idle_s
        while self._idle:
            key = next(iter(self._idle.values()))
            since = self._conns[key][0][1]
            if since > oldest:
                # At most four times per `idle_s`.
                after_s = max(since - oldest, self._idle_s / 4)
                self._cleanup_handle = self._loop.call_later(after_s, self._cleanup)
                return
            self._close_oldest()

    def _close_oldest(self) -> None:
        protocol, key = self._idle.popitem(last=False)
        kept = self._conns[key]
        # `idle` returns the newest, so the first one of a host is its oldest.
        kept.popleft()
        if not kept:
            del self._conns[key]
        protocol.abort()

    def _close(self, *, abort_ssl: bool = False) -> list[Awaitable[object]]:
        self._idle.clear()
        self._slots.cancel_waiters()
        return super()._close(abort_ssl=abort_ssl)


def _has_descriptor() -> bool:
    try:
        with socket.socket():
            return True
    except OSError:
        return False


def _has_source(addr_infos: list[AddrInfoType]) -> bool:
    """Return whether this machine has a source address for one of these.

    To connect a datagram socket sends nothing and needs no TCP port.
    """
    for family, _, _, _, sockaddr in addr_infos:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(sockaddr)
            return True
    return False
