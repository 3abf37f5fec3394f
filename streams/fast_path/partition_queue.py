"""The queue between the fetch and an agent, filled a batch at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.faust_patches.byte_pressure import ByteBoundedQueue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from faust.types import TP

    from hookseal.domain.record import Record

# Records after which other tasks run, however many records wait.
_YIELD_EVERY = 16


class FetchedRecord(NamedTuple):
    """A record, and the generation of the consumer group in which it was fetched."""

    generation_id: int
    tp: TP
    record: Record


class PartitionQueue(ByteBoundedQueue):
    """Faust's queue, filled a batch at a time, and emptied without its detours.

    When it is nearly full, its partition is not fetched until it is nearly empty. A batch always
    fits in.
    """

    def put_batch(
        self,
        batch: Sequence[FetchedRecord],
        *,
        when_full: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        """Add records; call `when_full` if little room is left, `again` once there is room.

        `again` must be the same object for the same partition.
        """
        self._queue.extend(batch)  # type: ignore[attr-defined]
        self._bytes += sum(fetched.record.size for fetched in batch)
        if self.in_pressure_high_state(again):
            when_full()
        self._wakeup_next(self._getters)  # type: ignore[attr-defined]

    async def next(self) -> Any:
        """Wait for the next record."""
        if self._errors or not self._queue:  # type: ignore[attr-defined]
            return await self.get()
        if self._pending_pressure_drop_callbacks:
            self.maybe_endorse_pressure_drop()
        fetched = self._queue.popleft()  # type: ignore[attr-defined]
        self._bytes -= fetched.record.size
        return fetched


async def iter_queue(stream: Any) -> AsyncGenerator[Record]:
    """Yield the records of a stream's queue; see `streams.record_stream.iter_records`.

    Faust's own iterator yields to the loop before each event, keeps statistics that nobody reads,
    and sets the current event for producers that nobody uses: a tenth of the CPU of a delivery.
    Like Faust's, this iterator skips records of an older generation, and records that arrive while
    the flow is stopped.
    """
    app, channel = stream.app, stream.channel
    queue, flow = channel.queue, app.flow_control
    started_here = await stream.maybe_start()
    until_yield = _YIELD_EVERY
    try:
        while not stream.should_stop:
            fetched: FetchedRecord = await queue.next()
            if not flow.is_active() or fetched.generation_id != app.consumer_generation_id:
                continue
            yield fetched.record
            until_yield -= 1
            if not until_yield:
                until_yield = _YIELD_EVERY
                await asyncio.sleep(0)
    finally:
        stream._channel_stop_iteration(channel)  # noqa: SLF001 - as Faust's own iterator does
        if started_here:
            await stream.stop()
            stream.service_reset()
