"""Read committed records only, and pass over the offsets that hold none.

Symptom: Faust reads records of aborted transactions, unless the whole application is in the mode
`exactly_once`. A partition whose last records are aborted would keep its lag: no record moves its
offset. Behind each transaction marker the partition would be read again, to prove that the gap is
in the log.
Patches: AIOKafkaConsumerThread._create_worker_consumer, .on_start, ._fetch_records, ._highwaters.
Test: tests/e2e/test_transactions.py.
Drop when: Faust has a setting for the isolation level, and commits behind the markers.
"""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.faust_patches.known_start import KnownStart

if TYPE_CHECKING:
    from collections.abc import Iterable

Gap = tuple[Any, int, int]
"""Partition, first offset, and the offset after the last one."""


class ReadCommitted(KnownStart):
    """A consumer whose trackers count offsets without a record as done."""

    def pass_over(self, gaps: Iterable[Gap]) -> None:
        """Mark these offsets as done: they hold no record to deliver."""
        for topic_partition, start, end in gaps:
            tp = TP(*topic_partition)
            # Before its start is known, a partition is read again from there.
            if tp in self._starts:
                tracker = self.tracker(tp)
                tracker.mark_done_below(self.low_watermark(tp))
                tracker.mark_range_done(start, end)

    def due_offset(self, tp: TP, expected: int, offset: int) -> int:
        """Return the offset that comes next, at least `expected`.

        If the record at `offset` is not the expected one, offsets that are done are passed over.
        """
        due = max(expected, self.low_watermark(tp))
        return due if offset <= due else self.tracker(tp).first_pending(due)

    def stable_end(self, tp: TP) -> int | None:
        """Return the last stable offset: up to it, the partition is read. None = not known yet."""
        return cast("ReadCommittedThread", self._thread).stable_end(tp)


class _Results(OrderedDict[Any, Any]):
    """Fetched batches of a client, which all report their gaps to the same list."""

    def __init__(self, gaps: list[Gap]) -> None:
        super().__init__()
        self._gaps = gaps

    def __setitem__(self, tp: Any, result: Any) -> None:
        result.gaps = self._gaps
        super().__setitem__(tp, result)


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Its consumer thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gaps: list[Gap] = []

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        client._isolation_level = "read_committed"  # noqa: SLF001 - read when the client starts
        return client

    async def on_start(self) -> None:
        """Start the client, and have its fetches report their gaps."""
        await super().on_start()
        client: Any = self._ensure_consumer()
        results = _Results(self._gaps)
        results.update(client._fetcher._records)  # noqa: SLF001
        client._fetcher._records = results  # noqa: SLF001

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        fetched = dict(await super()._fetch_records(consumer, *args, **kwargs))
        if self._gaps:
            gaps = self._gaps.copy()
            self._gaps.clear()
            # Arrives before the records, which the same loop gets after it.
            self.parent_loop.call_soon_threadsafe(
                cast("ReadCommitted", self.consumer).pass_over, gaps
            )
        return fetched

    async def _highwaters(self, partitions: Any) -> Any:
        # Of changelogs. A table that is recovered to the last stable offset only would lack the
        # tenants behind an open transaction, and the next command would undo their changes.
        client: Any = self._ensure_consumer()
        uncommitted = copy(client._fetcher)  # noqa: SLF001
        uncommitted._isolation_level = READ_UNCOMMITTED  # noqa: SLF001
        return await uncommitted.end_offsets(partitions, client._request_timeout_ms)  # noqa: SLF001

    def stable_end(self, tp: TP) -> int | None:
        """Return the last stable offset; the high watermark if the broker has no transactions."""
        client = self._ensure_consumer()
        stable: int | None = client.last_stable_offset(tp)
        return self.highwater(tp) if stable is None or stable < 0 else stable
