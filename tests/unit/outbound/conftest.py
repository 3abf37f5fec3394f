"""Attempts are made on both event loops there are: `HOOKSEAL_EVENT_LOOP` chooses one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

# Where the loop has a say: what breaks off, and how.
_ON_BOTH = (
    "test_few_descriptors.py",
    "test_fence.py",
    "test_hostile_receivers.py",
    "test_pool.py",
    "test_tls.py",
)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in _ON_BOTH:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
