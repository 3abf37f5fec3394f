"""What a worker answers over HTTP: `/metrics`, and whether it lives and is ready."""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Probes"]


# How long it may take until it hears that it is to end.
_LOOK_EVERY_S = 0.05


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: it is asked every few seconds."""


class Probes:
    """Serves on a thread of its own, so that it answers while the worker is busy."""

    def __init__(self, host: str, port: int, why_not_ready: Callable[[], str | None]) -> None:
        """Listen.

        Args:
            host: Address.
            port: 0 takes any that is free.
            why_not_ready: Returns a code, None if it is ready; called on another thread.

        Raises:
            OSError: The port cannot be listened on.
        """
        self._metrics: Any = make_wsgi_app()
        self._why_not_ready = why_not_ready
        self._server = make_server(host, port, self._answer, _Server, _Quiet)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_LOOK_EVERY_S,),
            name="hookseal-probes",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/healthz":
            return _json(start_response, HTTPStatus.OK, status="ok")
        if path == "/readyz":
            code = self._why_not_ready()
            if code is None:
                return _json(start_response, HTTPStatus.OK, status="ok")
            return _json(start_response, HTTPStatus.SERVICE_UNAVAILABLE, code=code)
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        return _json(start_response, HTTPStatus.NOT_FOUND, code="not_found")


def _json(start_response: Any, code: HTTPStatus, /, **members: str) -> list[bytes]:
    start_response(f"{code.value} {code.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(members).encode()]
