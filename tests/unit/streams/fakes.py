"""What stands in for Faust around a lane or a line of commands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP
from mode.utils.queues import FlowControlEvent

from hookseal.delivery.ordering import OffsetTracker
from hookseal.domain.record import Record
from streams.fast_path.partition_queue import FetchedRecord, PartitionQueue
from streams.membership import Membership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["PLACE", "Consumer", "Stream", "an_arrival"]

PLACE = TP("a-topic", 0)


class Stream:
    """Hands over a record for each key, from offset 0 on; then waits for more."""

    def __init__(self, *keys: bytes, fast_path: bool = True) -> None:
        self.app = SimpleNamespace(
            flow_control=SimpleNamespace(is_active=lambda: True),
            consumer_generation_id=1,
            fast_path=fast_path,
        )
        self.channel = SimpleNamespace(queue=PartitionQueue(flow_control=FlowControlEvent()))
        self.is_stopped = False
        self._keys = keys
        self.hand_over()

    def hand_over(self) -> None:
        """Put all of them into the queue."""
        for offset, key in enumerate(self._keys):
            self.channel.queue.put_nowait(an_arrival(offset, key))

    @property
    def should_stop(self) -> bool:
        return self.is_stopped

    async def maybe_start(self) -> bool:
        return False

    def _channel_stop_iteration(self, channel: Any) -> None:
        assert channel is self.channel

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        """Yield Faust's events: each has a message, which carries the record.

        With the fast path only commands are read like this: they end with the last record.
        """
        queue = self.channel.queue
        while not (self.app.fast_path and queue.empty()):
            arrival: FetchedRecord = await queue.get()
            yield SimpleNamespace(
                message=SimpleNamespace(
                    tp=arrival.tp, record=arrival.record, generation_id=arrival.generation_id
                )
            )


def an_arrival(offset: int, key: bytes, *, generation_id: int = 1) -> FetchedRecord:
    record = Record(PLACE.topic, PLACE.partition, offset, key, b"{}", (), 1000)
    return FetchedRecord(generation_id, PLACE, record)


class Consumer:
    """Owns the partition until the test says otherwise; no member before it is confirmed."""

    def __init__(self) -> None:
        self.membership = Membership(30, rebalancing=lambda: False, monotonic=lambda: 0.0)
        self.held = {PLACE}
        self.rewound_to: int | None = None
        self._tracker = OffsetTracker()

    async def rewind(self, _: TP, offset: int) -> None:
        self.rewound_to = offset

    def assignment(self) -> set[TP]:
        return self.held

    async def wait_for_committed_offset(self, tp: TP) -> bool:
        return tp in self.held

    def tracker(self, _: TP) -> OffsetTracker:
        return self._tracker

    def mark_done_through(self, _: TP, offset: int) -> None:
        self._tracker.mark_done_below(offset + 1)

    def low_watermark(self, _: TP) -> int:
        return self._tracker.low_watermark

    def due_offset(self, _: TP, expected: int, offset: int) -> int:
        due = max(expected, self._tracker.low_watermark)
        return due if offset <= due else self._tracker.first_pending(due)
