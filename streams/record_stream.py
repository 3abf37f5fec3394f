"""The records of a stream as they come out of its inbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from streams.partition_queue import FetchedRecord

__all__ = ["iter_records"]

# In the orders that do not wait for a delivery, whatever else there is gets its turn.
_TURN = 16


async def iter_records(stream: Any) -> AsyncGenerator[FetchedRecord]:
    """Yield what arrives, without what Faust does for each event besides.

    It gives up its turn in the loop before each, keeps statistics that nobody reads, and
    notes which event is the current one, for producers that nobody uses: a tenth of a
    delivery. What matters is done here as well: what is of an older generation, or comes
    while the flow is stopped, is passed over, and nothing is acknowledged.
    """
    app, channel = stream.app, stream.channel
    queue, flow = channel.queue, app.flow_control
    is_ours_to_stop = await stream.maybe_start()
    until_next_turn = _TURN
    try:
        while not stream.should_stop:
            fetched: FetchedRecord = await queue.next()
            if not flow.is_active() or fetched.generation_id != app.consumer_generation_id:
                continue
            yield fetched
            until_next_turn -= 1
            if not until_next_turn:
                until_next_turn = _TURN
                await asyncio.sleep(0)
    finally:
        stream._channel_stop_iteration(channel)  # noqa: SLF001 - as Faust's own iterator does
        if is_ours_to_stop:
            await stream.stop()
            stream.service_reset()
