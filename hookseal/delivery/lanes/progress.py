"""How far a partition is finished: a mark, and what is finished above it."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Progress", "Range"]

Range = tuple[int, int]
"""Offsets from the first, up to but without the second."""


class Progress:
    """The finished offsets of one partition.

    Facts only, so that nothing ever goes back: what is finished stays finished, whoever
    owns the partition. In memory there is one pair of numbers for each stretch of
    finished offsets, never more than there are events in hand plus one.
    """

    def __init__(self) -> None:
        self._mark = 0
        self._above: list[Range] = []

    @property
    def mark(self) -> int:
        """The offset below which everything is finished; 0 = nothing known."""
        return self._mark

    @property
    def above(self) -> tuple[Range, ...]:
        """What is finished above the mark, in order; no two ranges touch."""
        return tuple(self._above)

    def __contains__(self, offset: int) -> bool:
        """Whether the offset is finished."""
        if offset < self._mark:
            return True
        at = bisect_right(self._above, (offset + 1,)) - 1
        return at >= 0 and offset < self._above[at][1]

    def finish(self, offset: int) -> None:
        """Note that one offset is finished."""
        if offset == self._mark and not self._above:
            self._mark = offset + 1
        else:
            self.finish_range(offset, offset + 1)

    def finish_below(self, end: int) -> None:
        """Note that everything below this offset is finished."""
        self.finish_range(0, end)

    def finish_range(self, start: int, end: int) -> None:
        """Note that the offsets from `start` up to but without `end` are finished.

        Also for offsets at which nothing stands: markers of transactions, what was
        compacted away.
        """
        start = max(start, self._mark)
        if start >= end:
            return
        first = bisect_right(self._above, (start,))
        if first and self._above[first - 1][1] >= start:
            first -= 1
        last = first
        while last < len(self._above) and self._above[last][0] <= end:
            start = min(start, self._above[last][0])
            end = max(end, self._above[last][1])
            last += 1
        self._above[first:last] = [(start, end)]
        if self._above[0][0] <= self._mark:
            self._mark = self._above.pop(0)[1]

    def learn(self, mark: int, above: Iterable[Range]) -> None:
        """Take over what an earlier owner committed."""
        self.finish_below(mark)
        for start, end in above:
            self.finish_range(start, end)

    def forget(self) -> None:
        """Begin anew: the log is another one."""
        self._mark, self._above = 0, []
