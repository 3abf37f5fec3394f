"""Deliver records that are read again after a rewind.

Symptom: Faust dispatches a batch to its end although the position was rewound meanwhile, remembers
its last offset, and drops the records that are read again up to there. A gap at the head of a batch
blocked its partition until a new event arrived (Apache Kafka 4.4, behind a transaction marker).
Patches: Consumer._read_offset.
Test: TestGoingBack.
Drop when: a Faust release resets the read offset when the position is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from faust.types import TP


class NoReadOffsets(dict[Any, Any]):
    """Faust's record of the last dispatched offset of each partition: always None.

    The gap detector skips records that are repeated.
    """

    def __getitem__(self, _: Any) -> None:
        return


class Rewind(driver.Consumer):
    """A consumer that can be rewound at any time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NoReadOffsets()

    async def rewind(self, tp: TP, offset: int) -> None:
        """Read the partition from this offset again."""
        # In the client's own thread. From here, a fetch that returns at the same time could set
        # the position to its own end.
        await self._thread.seek_wait({tp: offset})
