"""What stands in for Faust around a lane or a line of commands."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from hookseal.delivery.lanes import Progress
from streams.membership import Membership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["PLACE", "Consumer", "Stream", "an_arrival"]

PLACE = TP("a-topic", 0)


class Stream:
    """Hands over a record for each key, from offset 0 on."""

    def __init__(self, *keys: bytes) -> None:
        self.app = SimpleNamespace(
            flow_control=SimpleNamespace(is_active=lambda: True), consumer_generation_id=1
        )
        self.channel = SimpleNamespace(queue=asyncio.Queue[Any]())
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
        while not self.channel.queue.empty():
            yield self.channel.queue.get_nowait()


def an_arrival(offset: int, key: bytes, *, generation_id: int = 1) -> Any:
    return SimpleNamespace(
        message=SimpleNamespace(
            topic=PLACE.topic,
            partition=PLACE.partition,
            tp=PLACE,
            offset=offset,
            key=key,
            value=b"{}",
            headers=[],
            timestamp=1.0,
            generation_id=generation_id,
        )
    )


class Consumer:
    """Owns the partition until the test says otherwise; no member before it is confirmed."""

    def __init__(self) -> None:
        self.membership = Membership(30, rebalancing=lambda: False, monotonic=lambda: 0.0)
        self.held = {PLACE}
        self._progress = Progress()

    def assignment(self) -> set[TP]:
        return self.held

    async def start_known(self, tp: TP) -> bool:
        return tp in self.held

    def progress(self, _: TP) -> Progress:
        return self._progress

    def finish(self, _: TP, offset: int) -> None:
        self._progress.finish_below(offset + 1)

    def finished(self, _: TP) -> int:
        return self._progress.mark
