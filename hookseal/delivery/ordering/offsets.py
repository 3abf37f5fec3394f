"""How far a partition is finished: a mark, and what is finished above it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OffsetRange", "OffsetTracker"]

OffsetRange = tuple[int, int]
"""Offsets from the first, up to but without the second."""


class OffsetTracker:
    """The finished offsets of one partition.

    Facts only, so that nothing ever goes back: what is finished stays finished, whoever
    owns the partition. In memory there is one pair of numbers for each stretch of
    finished offsets, never more than there are events in hand plus one.
    """

    def __init__(self) -> None:
        self._low_watermark = 0
        self._completed_ranges: list[OffsetRange] = []

    @property
    def low_watermark(self) -> int:
        """The offset below which everything is finished; 0 = nothing known."""
        return self._low_watermark

    @property
    def completed_ranges(self) -> tuple[OffsetRange, ...]:
        """What is finished above the mark, in order; no two ranges touch."""
        return tuple(self._completed_ranges)

    def __contains__(self, offset: int) -> bool:
        """Whether the offset is finished."""
        if offset < self._low_watermark:
            return True
        at = bisect_right(self._completed_ranges, (offset + 1,)) - 1
        return at >= 0 and offset < self._completed_ranges[at][1]

    def mark_done(self, offset: int) -> None:
        """Note that one offset is finished."""
        if offset == self._low_watermark and not self._completed_ranges:
            self._low_watermark = offset + 1
        else:
            self.mark_range_done(offset, offset + 1)

    def mark_done_below(self, end: int) -> None:
        """Note that everything below this offset is finished."""
        self.mark_range_done(0, end)

    def mark_range_done(self, start: int, end: int) -> None:
        """Note that the offsets from `start` up to but without `end` are finished.

        Also for offsets at which nothing stands: markers of transactions, what was
        compacted away.
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
        """Take over what an earlier owner committed."""
        self.mark_done_below(low_watermark)
        for start, end in completed_ranges:
            self.mark_range_done(start, end)

    def reset(self) -> None:
        """Begin anew: the log is another one."""
        self._low_watermark, self._completed_ranges = 0, []
