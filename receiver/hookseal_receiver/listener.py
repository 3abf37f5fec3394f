"""A receiver to try things with: an HTTP server that opens what it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from aiohttp import web

from hookseal_receiver.aiohttp import read_body
from hookseal_receiver.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal_receiver.event import Event
    from hookseal_receiver.webhook import Webhook

__all__ = ["Listener"]


class Listener:
    """Listens on a port, at any path; an asynchronous context manager.

    It drops no repeats, and answers what it is told to: for rehearsals and demonstrations.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Event, bytes], Awaitable[int]],
        refused: Callable[[VerificationError], None],
        webhook: Webhook | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Prepare.

        Args:
            answer: Returns the HTTP status for an event; is also given the body as it came.
            refused: Told of each request that could not be verified and opened; it is
                answered with 400.
            webhook: May be given later; until then every request is answered with 503.
            host: Address to listen on.
            port: 0 takes any that is free.
        """
        self.webhook = webhook
        self._answer = answer
        self._refused = refused
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._runner.addresses[0][1])

    async def _receive(self, request: web.Request) -> web.Response:
        if self.webhook is None:
            return web.Response(status=503)
        body = await read_body(request, self.webhook.max_body_bytes)
        if body is None:
            self._refused(VerificationError("body_too_large"))
            return web.Response(status=413)
        try:
            event = self.webhook.open(request.headers, body)
        except VerificationError as error:
            self._refused(error)
            return web.Response(status=400)
        return web.Response(status=await self._answer(event, body))
