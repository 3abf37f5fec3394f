"""Deliver records that are read again after a rewind.

Symptom: Faust dispatches a batch to its end although the position was rewound meanwhile, notes its
last offset, and drops the records that are read again up to there. A gap at the head of a batch
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
    """Faust's note of the last record it handed over in each partition: always none.

    Faust hands a batch over to its end although the position went back meanwhile, notes
    its last offset, and then drops what is read again up to there. A gap at the head of
    a batch would stand still until something new comes. What repeats is passed over by
    the lanes.
    """

    def __getitem__(self, _: Any) -> None:
        """Return that nothing was handed over."""
        return


class Rewind(driver.Consumer):
    """A consumer whose position can be set back at any time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NoReadOffsets()

    async def rewind(self, tp: TP, offset: int) -> None:
        """Read the partition from this offset again.

        In the client's own thread: from here it might cross a fetch that is just handed
        out, whose end would become the position again.
        """
        await self._thread.seek_wait({tp: offset})
