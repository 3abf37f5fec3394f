"""POSTs sealed requests: no redirects, no cookies, no proxies, bounded in time and bytes."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from aiohttp import hdrs
from aiohttp.resolver import AsyncResolver
from yarl import URL

from hookseal.delivery.ports import Answer
from hookseal.outbound.answer import finish
from hookseal.outbound.connection import Connector
from hookseal.outbound.faults import fault_of, request_invalid
from hookseal.outbound.guard import GuardedResolver, socket_factory

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from aiohttp.abc import AbstractResolver

    from hookseal.delivery.ports import SealedRequest
    from hookseal.outbound.guard import EgressPolicy, OnBlocked

__all__ = ["HttpTransport"]

CONNECT_TIMEOUT_S: Final = 5.0
# Node and uvicorn close an idle connection after five seconds. A request that crosses
# their closing on its way is lost, and the attempt with it.
IDLE_S: Final = 4.0
CONNECTIONS: Final = 1000
CONNECTIONS_PER_HOST: Final = 100
URLS_CACHED: Final = 4096
# ARES_FLAG_NOSEARCH and ARES_FLAG_NOALIASES of c-ares: the search list of a cluster would
# look for `hooks.example.com.svc.cluster.local` first, and so for each name.
DNS_NAMES_AS_THEY_STAND: Final = 1 << 5 | 1 << 6
DNS_TIMEOUT_S: Final = 2.0
DNS_TRIES: Final = 2
READ_BUFFER_BYTES: Final = 16_384


class BareRequest(aiohttp.ClientRequest):
    """A request with our headers, `host` and `content-length`, and nothing of aiohttp's.

    `skip_auto_headers` would do the same, and copies all headers twice to find out.
    """

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Ask for bodies as they are: nothing here would inflate them."""
        del skip_auto_headers
        self.headers[hdrs.ACCEPT_ENCODING] = "identity"


class HttpTransport:
    """The `Transport` of the engine, on aiohttp.

    Use it within one event loop. Connections are kept between attempts and not judged
    again, so that a new policy needs a new transport.

    Args:
        policy: What may be dialled.
        ssl_context: Trust store and TLS settings; the system's when None.
        make_resolver: Called in the running loop; c-ares (aiodns) when None.
        on_blocked: Told of each refused address.
        connections: Sockets at most, all hosts together.
        connections_per_host: Sockets at most to one host. A host that is slow to answer
            keeps its own deliveries waiting, not everyone's.
        idle_s: Seconds that a connection is kept without a request.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        *,
        ssl_context: ssl.SSLContext | None = None,
        make_resolver: Callable[[], AbstractResolver] | None = None,
        on_blocked: OnBlocked | None = None,
        connections: int = CONNECTIONS,
        connections_per_host: int = CONNECTIONS_PER_HOST,
        idle_s: float = IDLE_S,
    ) -> None:
        self._policy = policy
        self._ssl_context = ssl_context
        self._make_resolver = make_resolver or _c_ares
        self._on_blocked = on_blocked or _nobody_is_told
        self._connections = connections
        self._connections_per_host = connections_per_host
        self._idle_s = idle_s
        self._session: aiohttp.ClientSession | None = None
        self._resolver: AbstractResolver | None = None
        # One per transport: whether http is allowed is part of the policy.
        self._url_of = lru_cache(URLS_CACHED)(self._parse)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the session; otherwise the first attempt does."""
        self._open()

    async def close(self) -> None:
        """Close all connections. Attempts made after this end as `connection_failed`."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    async def post(self, request: SealedRequest) -> Answer:
        """POST the request and return the answer, its body read to the end and dropped.

        Raises:
            BlockedAddressError: The URL leads to an address the policy refuses.
            SealError: `request_invalid`, no HTTP request can be built so.
            AttemptError: No usable answer came back; codes as in the port.
        """
        try:
            session = self._session or self._open()
            url = self._url_of(request.url)
            # Not aiohttp's own total: that one rounds up to whole seconds, and does not
            # cover the end of a request whose answer came early.
            async with asyncio.timeout(request.timeout_s):
                response = await session.post(
                    url, data=request.body, headers=request.headers, allow_redirects=False
                )
                try:
                    await finish(response)
                except BaseException:
                    # Closed, not released: what is left on the connection is not for the next.
                    response.close()
                    raise
            return Answer(response.status, response.headers.get(hdrs.RETRY_AFTER))
        except Exception as error:  # noqa: BLE001 - none is swallowed, all get a code
            raise fault_of(error) from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._resolver = GuardedResolver(self._make_resolver(), self._policy, self._on_blocked)
            self._session = aiohttp.ClientSession(
                connector=Connector(
                    resolver=self._resolver,
                    socket_factory=socket_factory(self._policy, self._on_blocked),
                    ssl=self._ssl_context or True,
                    limit=self._connections,
                    limit_per_host=self._connections_per_host,
                    keepalive_timeout=self._idle_s,
                ),
                request_class=BareRequest,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=READ_BUFFER_BYTES,
            )
        return self._session

    def _parse(self, text: str) -> URL:
        url = URL(text)
        if url.scheme != "https" and not (url.scheme == "http" and self._policy.allow_http):
            raise request_invalid()
        return url


def _c_ares() -> AbstractResolver:
    return AsyncResolver(
        flags=DNS_NAMES_AS_THEY_STAND,
        timeout=DNS_TIMEOUT_S,
        tries=DNS_TRIES,
    )


def _nobody_is_told(_address: str, _port: int, _reason: str) -> None:
    pass
