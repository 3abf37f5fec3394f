"""Admits a partition's records in their order, and goes back before a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import Message

    from hookseal.delivery.ports import Clock, Observer
    from streams.consumer import FinishedConsumer
    from streams.sequence import Sequence

__all__ = ["Order"]


class Order:
    """Asks each partition's `Sequence`, and does what it says."""

    def __init__(
        self, *, consumer: Callable[[], FinishedConsumer], observer: Observer, clock: Clock
    ) -> None:
        self._consumer = consumer
        self._observer = observer
        self._clock = clock

    async def admits(self, message: Message, sequence: Sequence, *, finished: int) -> bool:
        """Return whether the record is the one to handle now.

        Args:
            message: The record that came.
            sequence: What is known of its partition.
            finished: The offset below which everything is handled.
        """
        go_back_to = sequence.gap_before(message.offset, finished=finished, now=self._clock.now())
        if go_back_to is not None:
            self._observer.gap(message.partition, go_back_to, message.offset)
            await self._consumer().go_back(message.tp, go_back_to)
        return sequence.is_next
