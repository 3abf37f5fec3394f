"""The records of a Faust stream."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from streams.fast_path.partition_queue import iter_queue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hookseal.domain.record import Record


def iter_records(stream: Any) -> AsyncGenerator[Record]:
    """Yield the records of the current generation of the group, and acknowledge none of them."""
    return iter_queue(stream) if stream.app.fast_path else _iter_events(stream)


async def _iter_events(stream: Any) -> AsyncGenerator[Record]:
    async with aclosing(stream.noack().events()) as events:
        async for event in events:
            yield event.message.record
