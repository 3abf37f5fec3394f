"""Gaps in the offsets of one partition: are they the log's own, or did Faust drop records?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from faust.types import TP

    from hookseal.delivery.ports import Clock
    from hookseal.domain.record import Record
    from hookseal.telemetry.observer import Observer
    from streams.consumer import OffsetTrackingConsumer

# Records that were queued behind a gap arrive within moments. After this time the rewind was lost.
_STALE_S = 5.0


class GapDetector:
    """Checks that the records of one partition arrive in the order of the log, without a gap.

    Faust has several ways to drop fetched records while the position moves on. To handle the
    records behind such a gap would commit the gap away. So the partition is rewound once: if the
    missing records arrive now, Faust had dropped them. If the same offset arrives again, the gap is
    in the log itself (compaction, a transaction marker, retention).
    """

    def __init__(
        self, *, consumer: Callable[[], OffsetTrackingConsumer], observer: Observer, clock: Clock
    ) -> None:
        self.is_new = True
        self._consumer = consumer
        self._observer = observer
        self._clock = clock
        self._gap_at: int | None = None
        self._rewound_at = 0.0

    async def check(self, tp: TP, record: Record, *, due: int) -> bool:
        """Return whether to handle the record now; `due` is the offset that must come next.

        A record that is not handled arrives again, or is done already.
        """
        self.is_new = False
        if record.offset < due:
            # After a rebalance Faust reads a partition that it kept from the last commit again.
            return False
        if self._gap_at is None:
            if record.offset != due:
                return await self._rewind(tp, record, due)
        elif record.offset > self._gap_at:
            # It was queued before the rewind, unless that was long ago.
            if self._clock.now() - self._rewound_at > _STALE_S:
                return await self._rewind(tp, record, due)
            return False
        # After a rewind, the first record to arrive is the next one of the log.
        self._gap_at = None
        return True

    async def _rewind(self, tp: TP, record: Record, due: int) -> bool:
        if self._gap_at is None:
            self._gap_at = record.offset
        self._rewound_at = self._clock.now()
        self._observer.gap(record.partition, due, record.offset)
        await self._consumer().rewind(tp, due)
        return False
