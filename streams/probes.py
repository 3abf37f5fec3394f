"""The worker's own HTTP server: `/metrics`, liveness and readiness."""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from hookseal.api.connections import Wait
from hookseal.api.server import HttpServer, connection_limit, listen_tcp

if TYPE_CHECKING:
    from collections.abc import Callable

# For a kubelet, Prometheus and a load balancer. Above it, the oldest idle connection is closed.
_CONNECTIONS_MAX = 64
# A probe of Kubernetes waits for 1 s by default.
_HEAD_TIMEOUT_S = 5.0


class Probes:
    """Serves on a thread and an event loop of its own, so that it answers while the worker is busy.

    One thread serves all connections: a client can neither exhaust threads nor descriptors.
    """

    def __init__(self, host: str, port: int, why_not_ready: Callable[[], str | None]) -> None:
        """Listen (0 = any free port), or raise `OSError`; another thread calls `why_not_ready`."""
        self._why_not_ready = why_not_ready
        sockets = listen_tcp(host, port)
        self.port = int(sockets[0].getsockname()[1])
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        self._server = HttpServer(
            app,
            sockets,
            name="probes",
            max_connections=min(_CONNECTIONS_MAX, connection_limit()),
            timeouts_s={Wait.HEAD: _HEAD_TIMEOUT_S},
        )
        # Not uvloop, which the worker's own loop may be: nothing to gain here.
        self._loop = asyncio.SelectorEventLoop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hookseal-probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and close all connections. A second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with self._server:
            await self._closing.wait()

    async def _alive(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        code = self._why_not_ready()
        if code is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"code": code}, status=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _metrics(self, request: web.Request) -> web.Response:
        # Prometheus asks for its newest text format.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        response = web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})
        response.enable_compression()
        return response
