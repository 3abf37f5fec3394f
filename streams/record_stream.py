"""The records of a Faust stream."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from streams.fast_path.partition_queue import FetchedRecord, iter_queue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["FetchedRecord", "iter_records"]


def iter_records(stream: Any) -> AsyncGenerator[FetchedRecord]:
    """Yield the records of the current generation of the group, and acknowledge none of them."""
    return iter_queue(stream) if stream.app.fast_path else _iter_events(stream)


async def _iter_events(stream: Any) -> AsyncGenerator[FetchedRecord]:
    async with aclosing(stream.noack().events()) as events:
        async for event in events:
            message = event.message
            yield FetchedRecord(message.generation_id, message.tp, message.record)
