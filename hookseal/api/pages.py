"""Serves static files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def add_file(
    app: web.Application,
    path: str,
    content: Callable[[], bytes],
    content_type: str,
    headers: Mapping[str, str],
) -> None:
    """Serve the content at the path, without authentication.

    Args:
        content: Called once, on the first request.
        content_type: Without a charset: it is UTF-8.
    """
    made = cache(content)

    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=made(), content_type=content_type, charset="utf-8", headers=headers
        )

    app.router.add_get(path, serve, allow_head=False)
