from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from hookseal.local.memory_store import MemoryStore
from hookseal.local.redis_link import RedisLink
from hookseal.local.redis_store import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hookseal.local.store import Store
    from tests.redis_server import RedisServer

    OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture
def link_of(redis: RedisServer, connect: Callable[..., RedisLink]) -> Callable[[], RedisLink]:
    """What makes links to the one place of the test."""
    prefix = uuid4().hex
    return lambda: connect(redis.url, prefix)


@pytest.fixture(params=["memory", "redis"])
async def open_store(request: pytest.FixtureRequest) -> AsyncIterator[OpenStore]:
    """What opens the one store of the test, as often as it is asked to."""
    # Here: it is no fixture of the tests in memory.
    url = "" if request.param == "memory" else request.getfixturevalue("redis").url
    prefix = uuid4().hex
    async with AsyncExitStack() as stack:
        memory = MemoryStore(2, now=time.time)

        async def opened() -> Store:
            store: Store = memory
            if url:
                store = RedisStore(RedisLink(url, prefix), 2)
            stack.push_async_callback(store.close)
            await store.start()
            return store

        yield opened
