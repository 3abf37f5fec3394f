"""What a worker measures of itself about once a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from faust.types import TP

__all__ = ["Lag", "Recovery"]


class Ends(Protocol):
    """Knows how far partitions go, and how far they are finished."""

    def highwater(self, tp: TP) -> int | None:
        """Return the offset behind the last record, None until something was fetched."""
        ...

    def low_watermark(self, tp: TP) -> int:
        """Return the offset below which everything is finished."""
        ...


class Lag:
    """How many events of each partition of this worker are not finished."""

    def __init__(self) -> None:
        self._consumer: Ends | None = None
        self._partitions: frozenset[TP] = frozenset()

    def now_of(self, consumer: Ends, partitions: AbstractSet[TP]) -> None:
        """Take these partitions in the place of those before."""
        for tp in self._partitions - partitions:
            # Whoever has it now tells its lag; two would count it twice.
            metrics.LAG.remove(str(tp.partition))
        self._consumer, self._partitions = consumer, frozenset(partitions)

    def report(self) -> None:
        """Measure."""
        for tp in self._partitions:
            end = None if self._consumer is None else self._consumer.highwater(tp)
            if end is not None and self._consumer is not None:
                lag = max(0, end - self._consumer.low_watermark(tp))
                metrics.LAG.labels(str(tp.partition)).set(lag)


class Recovery:
    """Whether the tenants table is being read, and how long that took."""

    def __init__(self) -> None:
        self._since: float | None = None

    def report(self, *, is_recovering: bool) -> None:
        """Note whether it is."""
        metrics.RECOVERING.set(is_recovering)
        if is_recovering:
            self._since = self._since or time.monotonic()
        elif self._since is not None:
            metrics.RECOVERY_SECONDS.set(time.monotonic() - self._since)
            self._since = None
