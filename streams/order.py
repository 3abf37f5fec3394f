"""Admits a partition's records in their order, and goes back before a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from hookseal.delivery.ports import Clock, Observer
    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer
    from streams.sequence import Sequence

__all__ = ["Order"]


class Order:
    """Asks each partition's `Sequence`, and does what it says."""

    def __init__(
        self, *, consumer: Callable[[], OffsetTrackingConsumer], observer: Observer, clock: Clock
    ) -> None:
        self._consumer = consumer
        self._observer = observer
        self._clock = clock

    async def admits(self, tp: TP, record: Record, sequence: Sequence, *, finished: int) -> bool:
        """Return whether the record is the one to handle now.

        Args:
            tp: Its partition, as Faust has it.
            record: The record that came.
            sequence: What is known of its partition.
            finished: The offset below which everything is handled.
        """
        go_back_to = sequence.gap_before(record.offset, finished=finished, now=self._clock.now())
        if go_back_to is not None:
            self._observer.gap(record.partition, go_back_to, record.offset)
            await self._consumer().rewind(tp, go_back_to)
        return sequence.is_next
