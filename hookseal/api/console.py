"""Serves the console: static files for operator and tenant."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from hookseal.api.pages import add_file

if TYPE_CHECKING:
    from aiohttp import web

_FILES = files("hookseal.api") / "console_files"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    # Only scripts of this origin run, and they connect to this origin only.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A key is typed into it: no older release of it is to be met.
    "Cache-Control": "no-cache",
}


def add_console(app: web.Application) -> None:
    """Serve it at `/console`."""
    for file in _FILES.iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            path = "/console" if file.name == "index.html" else f"/console/{file.name}"
            add_file(app, path, file.read_bytes, _TYPES[suffix], _HEADERS)
