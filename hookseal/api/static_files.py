"""Static files: the console, the OpenAPI document, and Swagger UI to browse it."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PACKAGE = files("hookseal.api")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_COMMON_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_CONSOLE_HEADERS = {
    **_COMMON_HEADERS,
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
    **_COMMON_HEADERS,
    # Nothing is fetched from, or sent to, another origin. Swagger UI sets styles inline.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
}
_DOCS_PAGE = b"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hookseal API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_DOCS_START = b"""\
SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});
"""


def add_console(app: web.Application) -> None:
    """Serve the console at `/console`."""
    for file in (_PACKAGE / "console_files").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            path = "/console" if file.name == "index.html" else f"/console/{file.name}"
            _add(app, path, file.read_bytes, _TYPES[suffix], _CONSOLE_HEADERS)


def add_docs(app: web.Application, document: Callable[[], Mapping[str, Any]]) -> None:
    """Serve the OpenAPI document at `/openapi.json`, and Swagger UI at `/docs`."""
    add = partial(_add, app, headers=_DOCS_HEADERS)
    add("/openapi.json", lambda: orjson.dumps(document()), "application/json")
    add("/docs", lambda: _DOCS_PAGE, "text/html")
    add("/docs/start.js", lambda: _DOCS_START, "text/javascript")
    for name, content_type in (
        ("swagger-ui.css", "text/css"),
        ("swagger-ui-bundle.js", "text/javascript"),
    ):
        add(f"/docs/{name}", (_PACKAGE / "swagger_ui" / name).read_bytes, content_type)


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
