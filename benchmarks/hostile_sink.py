"""Receivers of two kinds in one server: neighbours that answer, and hostile ones."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


_DRIP_S = 0.05
_FOREVER_S = 3600.0
_BLOCK = b"x" * 65_536


class HostileSink:
    """Serves `/neighbour/<customer>` and `/hostile/<number>`; a context manager.

    Attributes:
        arrived: Seconds of `time.perf_counter` at which a neighbour was sent an event, first
            time, by event id.
        hostile: Requests to hostile receivers, by what they do.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.hostile: dict[str, int] = defaultdict(int)
        self._kinds: list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("hangs", _hang),
            ("drips", _drip),
            ("never ends", _pour),
            ("resets", _reset),
        ]

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/neighbour/{customer}", self._neighbour)
        app.router.add_post("/hostile/{number}", self._hostile)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def url(self, kind: str, name: str) -> str:
        """Return a receiver's URL."""
        return f"http://127.0.0.1:{self.port}/{kind}/{name}"

    async def _neighbour(self, request: web.Request) -> web.Response:
        await request.read()
        self.arrived.setdefault(request.headers["webhook-id"], time.perf_counter())
        return web.Response()

    async def _hostile(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        name, behave = self._kinds[int(request.match_info["number"]) % len(self._kinds)]
        self.hostile[name] += 1
        with suppress(ConnectionError):
            # The worker hangs up, which is what it should.
            return await behave(request)
        return web.Response()


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(_FOREVER_S)
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(_DRIP_S)


async def _pour(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(_BLOCK)


async def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
