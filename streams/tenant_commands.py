"""Applies each command at once; its offset moves when the changelog has the change."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from hookseal.domain.record import Record
    from streams.consumer import OffsetTrackingConsumer
    from streams.gap_detector import GapDetector


class TenantCommandProcessor:
    """Handles the records of `tenant-commands`.

    Changes take effect in the table at once and travel to the changelog in the
    background, many at a time; an offset moves once its change and all before it are
    acknowledged there.
    """

    def __init__(
        self,
        *,
        apply: Callable[[Record], asyncio.Future[object] | None],
        consumer: Callable[[], OffsetTrackingConsumer],
        gap_detector: Callable[[], GapDetector],
        crash: Callable[[BaseException], None],
    ) -> None:
        self._apply = apply
        self._consumer = consumer
        self._crash = crash
        self._gaps: dict[TP, GapDetector] = defaultdict(gap_detector)
        self._unsafe: dict[TP, deque[tuple[int, asyncio.Future[object]]]] = defaultdict(deque)
        self._applied: dict[TP, int] = {}
        self._progress = asyncio.Condition()

    async def process(self, message: Any) -> None:
        """Apply one command, unless its partition was revoked or the command is done already."""
        tp, record = message.tp, message.record
        if not await self._is_ours(tp):
            return
        gaps = self._gaps[tp]
        if gaps.is_new and not await self._consumer().wait_for_committed_offset(tp):
            return
        if not await gaps.check(tp, record, due=self.applied(tp)):
            return
        written = self._apply(record)
        async with self._progress:
            self._applied[tp] = record.offset + 1
            self._progress.notify_all()
        if written is None:
            written = asyncio.get_running_loop().create_future()
            written.set_result(None)
        self._unsafe[tp].append((record.offset, written))
        written.add_done_callback(partial(self._settled, tp))

    async def _is_ours(self, tp: TP) -> bool:
        consumer = self._consumer()
        if consumer.membership.is_open:
            return True
        # Whoever was frozen would write what it knew then over what its successor wrote.
        await consumer.membership.opened()
        return tp in consumer.assignment()

    async def reach(self, tp: TP, offset: int) -> None:
        """Wait until every command of the partition below this offset is applied."""
        async with self._progress:
            await self._progress.wait_for(lambda: self.applied(tp) >= offset)

    def applied(self, tp: TP) -> int:
        """Return the offset below which every command of the partition is applied."""
        return max(self._applied.get(tp, 0), self._consumer().low_watermark(tp))

    def keep_only(self, partitions: set[int]) -> None:
        """Drop what is known of partitions that went to other workers."""
        for held in (self._applied, self._unsafe, self._gaps):
            for tp in [tp for tp in held if tp.partition not in partitions]:
                del held[tp]

    def _settled(self, tp: TP, _: asyncio.Future[object]) -> None:
        waiting = self._unsafe.get(tp, deque())
        while waiting and waiting[0][1].done():
            offset, written = waiting.popleft()
            if written.cancelled():
                return
            error = written.exception()
            if error is not None:
                # The table in memory is ahead of its changelog now; only a fresh start
                # from the changelog makes them agree again.
                self._crash(error)
                return
            self._consumer().mark_done_through(tp, offset)
