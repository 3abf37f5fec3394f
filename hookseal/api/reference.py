"""The OpenAPI document, and a page to browse it with: Swagger UI, served from here."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson

from hookseal.api.pages import add_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

_UI = files("hookseal.api") / "swagger_ui"
_PAGE = b"""\
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
_START = b"""\
SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null});
"""
_PAGE_HEADERS = {
    # Nothing is fetched from, or sent to, anywhere else. Swagger UI sets styles inline.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def add_reference(app: web.Application, document: Callable[[], Mapping[str, Any]]) -> None:
    """Serve the document at `/openapi.json` and the page at `/docs`."""
    served: dict[str, tuple[Callable[[], bytes], str]] = {
        "/openapi.json": (lambda: orjson.dumps(document()), "application/json"),
        "/docs": (lambda: _PAGE, "text/html"),
        "/docs/start.js": (lambda: _START, "text/javascript"),
        "/docs/swagger-ui.css": ((_UI / "swagger-ui.css").read_bytes, "text/css"),
        "/docs/swagger-ui-bundle.js": (
            (_UI / "swagger-ui-bundle.js").read_bytes,
            "text/javascript",
        ),
    }
    for path, (content, content_type) in served.items():
        add_file(app, path, content, content_type, _PAGE_HEADERS)
