"""What stands in for Faust around a lane or a line of commands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from hookseal.delivery.lanes import Progress
from streams.membership import Membership

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["PLACE", "Consumer", "Stream"]

PLACE = TP("a-topic", 0)


class Stream:
    """Hands over a record for each key, from offset 0 on."""

    def __init__(self, *keys: bytes) -> None:
        self._keys = keys

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        for offset, key in enumerate(self._keys):
            yield SimpleNamespace(
                message=SimpleNamespace(
                    topic=PLACE.topic,
                    partition=PLACE.partition,
                    tp=PLACE,
                    offset=offset,
                    key=key,
                    value=b"{}",
                    headers=[],
                    timestamp=1.0,
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
