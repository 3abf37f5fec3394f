"""The done offsets of one partition."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OffsetRange = tuple[int, int]
"""First offset, and the offset after the last one."""


class OffsetTracker:
    """Tracks which offsets of one partition are done.

    `low_watermark` is the offset to commit: every offset below it is done. Offsets above it that
    are done out of order travel in the commit metadata, so that the next owner skips them. A done
    offset stays done, whichever worker owns the partition. Memory is one pair of numbers per
    completed range: at most one more than there are events in progress.
    """

    def __init__(self) -> None:
        self._low_watermark = 0
        self._completed_ranges: list[OffsetRange] = []

    @property
    def low_watermark(self) -> int:
        """Every offset below this one is done; 0 = unknown."""
        return self._low_watermark

    @property
    def completed_ranges(self) -> tuple[OffsetRange, ...]:
        """Done offsets above the low watermark, in order; no two ranges touch."""
        return tuple(self._completed_ranges)

    def __contains__(self, offset: int) -> bool:
        """Whether the offset is done."""
        if offset < self._low_watermark:
            return True
        at = bisect_right(self._completed_ranges, (offset + 1,)) - 1
        return at >= 0 and offset < self._completed_ranges[at][1]

    def first_pending(self, offset: int) -> int:
        """Return the first offset from this one on that is not done."""
        offset = max(offset, self._low_watermark)
        at = bisect_right(self._completed_ranges, (offset + 1,)) - 1
        return max(offset, self._completed_ranges[at][1]) if at >= 0 else offset

    def mark_done(self, offset: int) -> None:
        """Mark one offset as done."""
        if offset == self._low_watermark and not self._completed_ranges:
            self._low_watermark = offset + 1
        else:
            self.mark_range_done(offset, offset + 1)

    def mark_done_below(self, end: int) -> None:
        """Mark every offset below `end` as done."""
        self.mark_range_done(0, end)

    def mark_range_done(self, start: int, end: int) -> None:
        """Mark the offsets from `start` to `end` (exclusive) as done.

        Offsets without a record count too: transaction markers and compacted records.
        """
        start = max(start, self._low_watermark)
        if start >= end:
            return
        first = bisect_right(self._completed_ranges, (start,))
        if first and self._completed_ranges[first - 1][1] >= start:
            first -= 1
        last = first
        while last < len(self._completed_ranges) and self._completed_ranges[last][0] <= end:
            start = min(start, self._completed_ranges[last][0])
            end = max(end, self._completed_ranges[last][1])
            last += 1
        self._completed_ranges[first:last] = [(start, end)]
        if self._completed_ranges[0][0] <= self._low_watermark:
            self._low_watermark = self._completed_ranges.pop(0)[1]

    def load(self, low_watermark: int, completed_ranges: Iterable[OffsetRange]) -> None:
        """Add the committed offset and metadata of an earlier owner."""
        self.mark_done_below(low_watermark)
        for start, end in completed_ranges:
            self.mark_range_done(start, end)

    def reset(self) -> None:
        """Start at offset 0: the topic was recreated."""
        self._low_watermark, self._completed_ranges = 0, []
