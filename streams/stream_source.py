"""The events of one partition of a Faust stream, as the partition runner reads them."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from faust.types import TP

from streams.fast_path.partition_queue import iter_queue
from streams.gap_detector import GapDetector

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from hookseal.delivery.ordering import OffsetTracker
    from hookseal.delivery.ports import Clock
    from hookseal.domain.record import Record
    from hookseal.telemetry.observer import Observer
    from streams.consumer import OffsetTrackingConsumer
    from streams.membership import Membership


class StreamSource:
    """An `EventSource` on a Faust stream with isolated partitions."""

    partition = None

    def __init__(
        self,
        stream: Any,
        *,
        topic: str,
        consumer: Callable[[], OffsetTrackingConsumer],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self.records = iter_records(stream)
        self._topic = topic
        self._consumer = consumer
        self._observer = observer
        self._clock = clock

    async def assign(self, partition: int) -> bool:
        """Wait until the committed offset is known; return whether the partition is ours."""
        self._tp = TP(self._topic, partition)
        self._gaps = GapDetector(
            consumer=self._consumer, observer=self._observer, clock=self._clock
        )
        return await self._consumer().wait_for_committed_offset(self._tp)

    def tracker(self, partition: int) -> OffsetTracker:
        """Return the consumer's tracker, which decides what is committed."""
        return self._consumer().tracker(TP(self._topic, partition))

    def gate(self, partition: int) -> Membership:  # noqa: ARG002
        """Return the group membership, which is open while all partitions are ours."""
        return self._consumer().membership

    def is_due(self, record: Record, next_offset: int) -> Awaitable[bool]:
        """Return whether the record is the next one of the log; rewind once at a gap."""
        # The commit of an earlier owner may have become known meanwhile.
        due = self._consumer().due_offset(self._tp, next_offset, record.offset)
        return self._gaps.check(self._tp, record, due=due)

    async def close(self) -> None:
        """Close the stream's iterator."""
        await self.records.aclose()


def iter_records(stream: Any) -> AsyncGenerator[Record]:
    """Yield the records of the current generation of the group, and acknowledge none of them."""
    return iter_queue(stream) if stream.app.fast_path else _iter_events(stream)


async def _iter_events(stream: Any) -> AsyncGenerator[Record]:
    async with aclosing(stream.noack().events()) as events:
        async for event in events:
            yield event.message.record
