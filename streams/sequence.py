"""The order in which a partition's records must come, checked instead of believed."""

from __future__ import annotations

__all__ = ["Sequence"]

# What is queued behind a gap comes within moments; past this, going back was in vain.
_STALE_S = 5.0


class Sequence:
    """Watches the offsets of one partition for gaps.

    Faust has more than one way to drop what it has fetched while the position moves on.
    Handling what comes behind such a gap would commit it away. So a gap is read again
    once: if the records are there now, nothing was lost but a moment; if the same offset
    comes again, the gap is the log's own (compaction, a transaction's marker, retention).

    Attributes:
        is_new: Whether no record came yet.
        is_next: Whether the record that came last is to be handled.
    """

    def __init__(self) -> None:
        self.is_new = True
        self.is_next = False
        self._gap_at: int | None = None
        self._since = 0.0

    def gap_before(self, offset: int, *, finished: int, now: float) -> int | None:
        """Judge the next record that came.

        Sets `is_next`: whether to handle it.

        Args:
            offset: The record's.
            finished: The offset below which everything is finished; that of the record that is due.
            now: Seconds, of any clock that goes on.

        Returns:
            The offset to read from again, or None.
        """
        self.is_new = self.is_next = False
        if offset < finished:
            # Faust reads a partition that stays over a rebalance again from the last
            # commit, while its partition has gone on.
            return None
        if self._gap_at is not None:
            return self._after_going_back(offset, finished, now)
        if offset > finished:
            self._gap_at, self._since = offset, now
            return finished
        self.is_next = True
        return None

    def _after_going_back(self, offset: int, finished: int, now: float) -> int | None:
        assert self._gap_at is not None  # noqa: S101 - the caller's condition
        if offset <= self._gap_at:
            # Read again: what comes first now is what the log has.
            self._gap_at = None
            self.is_next = True
            return None
        if now - self._since > _STALE_S:
            self._since = now
            return finished
        # Queued before the position went back.
        return None
