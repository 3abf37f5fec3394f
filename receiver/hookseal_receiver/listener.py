"""A receiver for tests: an HTTP server that verifies and decrypts requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiohttp import web

from hookseal_receiver.aiohttp import read_body
from hookseal_receiver.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal_receiver.event import Event
    from hookseal_receiver.webhook import Webhook

# A quarter of the usual limit of file descriptors.
_CONNECTIONS_MAX = 256
# aiohttp's keep-alive timer starts with the connection, so it also limits a request's head.
_TIMEOUT_S = 15.0


class Listener:
    """Receives at any path of a port; an asynchronous context manager.

    It drops no repeats, accepts at most 256 connections, and answers 503 without a webhook.

    Args:
        answer: Gets event and raw body; returns the HTTP status.
        refused: Called for each request that cannot be verified and decrypted; the answer is 400.
        port: 0 = any free port.
        timeout_s: Seconds for the head of a request, for its body, and between two requests.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Event, bytes], Awaitable[int]],
        refused: Callable[[VerificationError], None],
        webhook: Webhook | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._timeout_s = timeout_s
        self.webhook = webhook
        self._answer = answer
        self._refused = refused
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1, keepalive_timeout=self._timeout_s
        )
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection, self._host, self._port
            )
        except OSError:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        if server is None or len(server.connections) >= _CONNECTIONS_MAX:
            return _Refused()
        return server()

    async def _receive(self, request: web.Request) -> web.Response:
        if self.webhook is None:
            return web.Response(status=503)
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await read_body(request, self.webhook.max_body_bytes)
        except TimeoutError:
            return web.Response(status=408)
        if body is None:
            self._refused(VerificationError("body_too_large"))
            return web.Response(status=413)
        try:
            event = self.webhook.open(request.headers, body)
        except VerificationError as error:
            self._refused(error)
            return web.Response(status=400)
        return web.Response(status=await self._answer(event, body))


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP connection
        transport.abort()
