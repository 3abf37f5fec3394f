"""What the tests of those who ask the API share."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from hookseal.api.client import ApiClient
from hookseal.errors import HooksealError
from tests.unit.api.conftest import ADMIN_KEY, Api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.fakes import FakeClock

__all__ = ["asking", "client_of", "refusal_of", "something_else"]


def client_of(
    url: str, clock: FakeClock, *, key: str = ADMIN_KEY, timeout_s: float = 10.0
) -> ApiClient:
    """Return a client for which time passes only while it sleeps."""
    return ApiClient(url, key, timeout_s=timeout_s, monotonic=clock.now, sleep=clock.sleep)


@asynccontextmanager
async def asking() -> AsyncIterator[Api]:
    """Serve the API over fakes."""
    api = Api()
    await api.start()
    try:
        yield api
    finally:
        await api.close()


@asynccontextmanager
async def something_else(
    handler: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncIterator[str]:
    """Serve what is not the API, or not always; return its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def refusal_of(asked: Awaitable[object]) -> HooksealError:
    """Return the error of ours with which it ends."""
    with pytest.raises(HooksealError) as caught:
        await asked
    return caught.value
