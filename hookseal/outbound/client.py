"""POSTs encrypted requests: no redirects, cookies or proxies, bounded time and bytes."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from aiohttp.resolver import AsyncResolver
from yarl import URL

from hookseal.delivery.ports import NotSentError
from hookseal.descriptors import soft_limit
from hookseal.errors import LocalResourceError
from hookseal.outbound.connection import Connector
from hookseal.outbound.exchange import (
    destination_of,
    exchange,
    message_of,
    was_closed_while_idle,
)
from hookseal.outbound.faults import fault_of, request_invalid
from hookseal.outbound.guard import GuardedResolver, socket_factory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.abc import AbstractResolver

    from hookseal.delivery.ports import Answer, SealedRequest
    from hookseal.outbound.exchange import Destination
    from hookseal.outbound.guard import EgressPolicy, OnBlocked

# Node and uvicorn close an idle connection after 5 s. A request that is on its way then is lost.
IDLE_S: Final = 4.0
# Open connections, idle ones included. An idle TLS connection uses up to 60 KB of memory.
SOCKETS: Final = 2000
CONNECTIONS: Final = 1000
CONNECTIONS_PER_HOST: Final = 100
URLS_CACHED: Final = 4096
# ARES_FLAG_NOSEARCH and ARES_FLAG_NOALIASES of c-ares. With the search list of a cluster, it would
# look up `hooks.example.com.svc.cluster.local` first.
DNS_FLAGS: Final = 1 << 5 | 1 << 6
DNS_TIMEOUT_S: Final = 2.0
DNS_TRIES: Final = 2


class HttpTransport:
    """The `Transport` of the engine, on aiohttp.

    Use it within one event loop. Open connections are not checked again: a new policy needs a new
    transport.

    Args:
        ssl_context: Trust store and TLS settings; the system's when None.
        make_resolver: Called in the running loop; c-ares (aiodns) when None.
        sockets: Open connections, idle ones included. None = 2,000, but at most half of the soft
            limit of open files: the rest is for Kafka, files, DNS and the API.
        connections: Connections in use, at most `sockets`.
        connections_per_host: Connections in use to one host: a slow host delays only its own
            deliveries.
        idle_s: Seconds after which an idle connection is closed.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        make_resolver: Callable[[], AbstractResolver] | None = None,
        on_blocked: OnBlocked | None = None,
        sockets: int | None = None,
        connections: int = CONNECTIONS,
        connections_per_host: int = CONNECTIONS_PER_HOST,
        idle_s: float = IDLE_S,
    ) -> None:
        self._policy = policy
        self._ssl_context = ssl_context
        self._make_resolver = make_resolver or _c_ares
        self._on_blocked = on_blocked or (lambda _address, _port, _reason: None)
        self._sockets = sockets
        self._connections = connections
        self._connections_per_host = connections_per_host
        self._idle_s = idle_s
        self._connector: Connector | None = None
        self._resolver: AbstractResolver | None = None
        # One cache per transport: a destination depends on the policy and on the event loop.
        self._destination_of = lru_cache(URLS_CACHED)(self._parse)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Create the pool; otherwise the first attempt does."""
        self._open()

    async def close(self) -> None:
        """Close all connections. Later attempts end as `connection_failed`."""
        if self._connector is not None:
            await self._connector.close()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    async def post(
        self, request: SealedRequest, may_send: Callable[[], bool] = lambda: True
    ) -> Answer:
        """POST the request and return the answer; errors as in `Transport`.

        A request that fails on an idle connection is sent once more, on a new connection. If this
        process lacks a resource, its idle connections are closed.
        """
        try:
            connector = self._connector or self._open()
            destination = self._destination_of(request.url)
            message = message_of(destination, request.headers, request.body)
            key = destination.key
            # The wait for the pool has a timeout of its own.
            await connector.enter(key, request.timeout_s)
            try:
                deadline = asyncio.get_running_loop().time() + request.timeout_s
                kept = connector.idle(key)
                if kept is not None:
                    protocol = kept.protocol
                    try:
                        return await exchange(kept, message, deadline, may_send)
                    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                        if not was_closed_while_idle(protocol, error):
                            raise
                dialled = await connector.dial(destination.dial, key, deadline)
                return await exchange(dialled, message, deadline, may_send)
            finally:
                connector.leave(key)
        except NotSentError:
            raise
        except Exception as error:  # noqa: BLE001 - all are mapped to a code
            fault = fault_of(error)
            if isinstance(fault, LocalResourceError) and self._connector is not None:
                self._connector.close_idle()
            raise fault from None

    def _open(self) -> Connector:
        if self._connector is None:
            sockets = self._sockets or min(SOCKETS, max(soft_limit() // 2, 1))
            self._resolver = GuardedResolver(self._make_resolver(), self._policy, self._on_blocked)
            self._connector = Connector(
                resolver=self._resolver,
                socket_factory=socket_factory(self._policy, self._on_blocked),
                ssl=self._ssl_context or True,
                sockets=sockets,
                in_use=min(self._connections, sockets),
                per_host=self._connections_per_host,
                idle_s=self._idle_s,
            )
        return self._connector

    def _parse(self, text: str) -> Destination:
        url = URL(text)
        if url.scheme != "https" and not (url.scheme == "http" and self._policy.allow_http):
            raise request_invalid()
        return destination_of(url, asyncio.get_running_loop())


def _c_ares() -> AbstractResolver:
    return AsyncResolver(flags=DNS_FLAGS, timeout=DNS_TIMEOUT_S, tries=DNS_TRIES)


def with_client_certificate(cert_file: Path, key_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that presents this certificate on request (RFC 8446 section 4.4.2).

    Both files are PEM, the key unencrypted; without `key_file` the key is in `cert_file`.

    Raises:
        OSError: The files cannot be read, or are no certificate and its key.
    """
    context = ssl.create_default_context()
    # Without a password OpenSSL would ask for one on the terminal if the key is encrypted.
    context.load_cert_chain(cert_file, key_file, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context
