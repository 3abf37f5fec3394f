"""The events of a partition as they come out of Faust's queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["arrivals", "raw_events"]

# In the orders that do not wait for a delivery, whatever else there is gets its turn.
_TURN = 16


def raw_events(stream: Any) -> Any:
    """Return the stream's events, none of which Faust acknowledges by itself."""
    # noack: by default Faust acknowledges an event whose handling was cancelled.
    return stream.noack().events()


async def arrivals(stream: Any) -> AsyncGenerator[Any]:
    """Yield the events of a stream, without what Faust does for each of them besides.

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
            event = await queue.get()
            if not flow.is_active() or event.message.generation_id != app.consumer_generation_id:
                continue
            yield event
            until_next_turn -= 1
            if not until_next_turn:
                until_next_turn = _TURN
                await asyncio.sleep(0)
    finally:
        stream._channel_stop_iteration(channel)  # noqa: SLF001 - as Faust's own iterator does
        if is_ours_to_stop:
            await stream.stop()
            stream.service_reset()
