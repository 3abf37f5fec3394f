"""Static files: the console, the OpenAPI document, and Swagger UI to browse it."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_CONSOLE_HEADERS = {
    **_HEADERS,
    # Only scripts of this origin run, and they connect to this origin only.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    # Users type keys into the console, so a browser must not run a cached older release.
    "Cache-Control": "no-cache",
}
_DOCS_HEADERS = {
    **_HEADERS,
    # Nothing is fetched from, or sent to, another origin. Swagger UI sets styles inline.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}


def add_static_files(app: web.Application, document: Callable[[], Mapping[str, Any]]) -> None:
    """Serve `/console`, `/docs` (Swagger UI) and `/openapi.json`. `/` redirects to the console."""
    app.router.add_get("/", _redirect_to_console, allow_head=False)
    _add_folder(app, "console_files", "/console", _CONSOLE_HEADERS)
    _add_folder(app, "swagger_ui", "/docs", _DOCS_HEADERS)
    _add(app, "/openapi.json", lambda: orjson.dumps(document()), "application/json", _DOCS_HEADERS)


async def _redirect_to_console(_: web.Request) -> web.Response:
    # Relative: the API may be served below a path of a proxy.
    return web.Response(status=HTTPStatus.FOUND, headers={**_HEADERS, "Location": "console"})


def _add_folder(app: web.Application, name: str, root: str, headers: Mapping[str, str]) -> None:
    for file in (files("hookseal.api") / name).iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            path = root if file.name == "index.html" else f"{root}/{file.name}"
            _add(app, path, file.read_bytes, _TYPES[suffix], headers)


def _add(
    app: web.Application,
    path: str,
    content: Callable[[], bytes],
    content_type: str,
    headers: Mapping[str, str],
) -> None:
    content = cache(content)

    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=content(), content_type=content_type, charset="utf-8", headers=headers
        )

    app.router.add_get(path, serve, allow_head=False)
