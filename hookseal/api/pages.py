"""Files of pages that are served from here, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["add_file"]


def add_file(
    app: web.Application, path: str, content: bytes, content_type: str, headers: Mapping[str, str]
) -> None:
    """Serve it, to anybody."""

    async def serve(_: web.Request) -> web.Response:
        return web.Response(
            body=content, content_type=content_type, charset="utf-8", headers=headers
        )

    app.router.add_get(path, serve, allow_head=False)
