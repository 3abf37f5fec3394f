"""Tenant commands: applies them, and tracks how far they are applied."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.delivery.ports import Clock
    from hookseal.domain.record import Record
    from hookseal.kafka.consumer import LogEnds
    from streams.consumer import OffsetTrackingConsumer
    from streams.gap_detector import GapDetector

PATIENCE_S = 30.0
_PAUSE_S = 1.0
_RECHECK_S = 0.1

_log = structlog.stdlib.get_logger("hookseal.worker")


class CommandProgress:
    """The offset of each partition of `tenant-commands` below which all commands are applied."""

    def __init__(
        self,
        topic: str,
        *,
        consumer: Callable[[], OffsetTrackingConsumer],
        ends: LogEnds,
        clock: Clock,
        is_recovering: Callable[[], bool],
    ) -> None:
        self._topic = topic
        self._consumer = consumer
        self._ends = ends
        self._clock = clock
        self._is_recovering = is_recovering
        self._applied: dict[TP, int] = {}
        self._advanced = asyncio.Condition()

    def applied(self, tp: TP) -> int:
        """Return the offset below which every command of the partition is applied."""
        return max(self._applied.get(tp, 0), self._consumer().low_watermark(tp))

    async def advance(self, tp: TP, offset: int) -> None:
        """Note that every command of the partition below this offset is applied."""
        async with self._advanced:
            self._applied[tp] = offset
            self._advanced.notify_all()

    async def reach(self, tp: TP, offset: int) -> None:
        """Wait until every command of the partition below this offset is applied."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self.applied(tp) >= offset)

    async def catch_up(self, partition: int) -> bool:
        """Wait until every command that the partition has now is applied; return whether it is.

        Gives up after `PATIENCE_S` seconds without progress. Commands of an open transaction are
        not waited for.
        """
        tp = TP(self._topic, partition)
        end = await self._end(partition)
        progress_at = self._clock.now()
        while (before := self.applied(tp)) < end:
            try:
                # Polls as well: nobody notifies when the consumer learns what an earlier owner
                # committed.
                async with asyncio.timeout(_RECHECK_S):
                    await self.reach(tp, before + 1)
                progress_at = self._clock.now()
            except TimeoutError:
                if self._is_recovering():
                    # No command is applied meanwhile, however many tenants there are to read.
                    progress_at = self._clock.now()
                elif self._clock.now() - progress_at > PATIENCE_S:
                    _log.warning("commands.stalled", partition=partition, applied=before, end=end)
                    return False
        return True

    def keep_only(self, partitions: set[int]) -> None:
        """Drop the progress of partitions that were revoked."""
        self._applied = {tp: at for tp, at in self._applied.items() if tp.partition in partitions}

    async def _end(self, partition: int) -> int:
        while True:
            try:
                return (await self._ends.of(self._topic, [partition]))[partition]
            except BrokerError as error:
                # An error would end the partition, and the event in progress with it.
                _log.warning("commands.end_offset_unknown", partition=partition, code=error.code)
                await self._clock.sleep(_PAUSE_S)


class TenantCommandProcessor:
    """Handles the records of `tenant-commands`.

    A change takes effect in the table at once and is written to the changelog in the background,
    with many writes at a time. An offset is committed once the changelog acknowledged its change
    and all changes before it.
    """

    def __init__(
        self,
        *,
        progress: CommandProgress,
        apply: Callable[[Record], asyncio.Future[object] | None],
        consumer: Callable[[], OffsetTrackingConsumer],
        gap_detector: Callable[[], GapDetector],
        crash: Callable[[BaseException], object],
    ) -> None:
        self._progress = progress
        self._apply = apply
        self._consumer = consumer
        self._crash = crash
        self._gaps: dict[TP, GapDetector] = defaultdict(gap_detector)
        self._unacknowledged: dict[TP, deque[tuple[int, asyncio.Future[object]]]] = defaultdict(
            deque
        )

    async def process(self, message: Any) -> None:
        """Apply one command, unless its partition was revoked or the command is done already."""
        tp, record = message.tp, message.record
        consumer = self._consumer()
        if not consumer.membership.is_open:
            # A worker that was frozen would overwrite what its successor wrote.
            await consumer.membership.opened()
            if tp not in consumer.assignment():
                return
        gaps = self._gaps[tp]
        if gaps.is_new and not await consumer.wait_for_committed_offset(tp):
            return
        due = consumer.due_offset(tp, self._progress.applied(tp), record.offset)
        if not await gaps.check(tp, record, due=due):
            return
        written = self._apply(record)
        await self._progress.advance(tp, record.offset + 1)
        if written is None:
            written = asyncio.get_running_loop().create_future()
            written.set_result(None)
        self._unacknowledged[tp].append((record.offset, written))
        written.add_done_callback(partial(self._acknowledged, tp))

    def keep_only(self, partitions: set[int]) -> None:
        """Drop the state of partitions that were revoked."""
        self._progress.keep_only(partitions)
        for state in (self._unacknowledged, self._gaps):
            for tp in [tp for tp in state if tp.partition not in partitions]:
                del state[tp]

    def _acknowledged(self, tp: TP, _: asyncio.Future[object]) -> None:
        waiting = self._unacknowledged.get(tp, deque())
        while waiting and waiting[0][1].done():
            offset, written = waiting.popleft()
            if written.cancelled():
                return
            error = written.exception()
            if error is not None:
                # The table in memory is ahead of its changelog now. Only a restart from the
                # changelog makes them equal again.
                self._crash(error)
                return
            self._consumer().mark_done_through(tp, offset)
