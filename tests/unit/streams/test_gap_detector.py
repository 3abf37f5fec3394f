from __future__ import annotations

from typing import TYPE_CHECKING, cast

from streams.gap_detector import GapDetector
from tests.fakes import FakeClock, RecordingObserver
from tests.unit.streams.fakes import PLACE, Consumer, an_arrival

if TYPE_CHECKING:
    from streams.consumer import OffsetTrackingConsumer


class Detecting:
    """A gap detector between a clock, an observer and a consumer that records its rewinds."""

    def __init__(self) -> None:
        self.clock, self.observer, self._consumer = FakeClock(), RecordingObserver(), Consumer()
        self.detector = GapDetector(
            consumer=lambda: cast("OffsetTrackingConsumer", self._consumer),
            observer=self.observer,
            clock=self.clock,
        )
        self._began = self.clock.now()

    async def feed(self, offset: int, due: int, now: float = 0.0) -> tuple[bool, int | None]:
        """Return whether the record is delivered, and the offset of the rewind."""
        self.clock.time = self._began + now
        self._consumer.rewound_to = None
        delivers = await self.detector.check(PLACE, an_arrival(offset, b"a").record, due=due)
        return delivers, self._consumer.rewound_to


class TestGapDetector:
    async def test_takes_what_comes_in_order(self) -> None:
        detecting = Detecting()

        assert await detecting.feed(5, 5) == (True, None)
        assert await detecting.feed(6, 6) == (True, None)

    async def test_takes_the_first_record_if_it_is_the_one_that_is_due(self) -> None:
        assert await Detecting().feed(0, 0) == (True, None)
        assert await Detecting().feed(1000, 1000) == (True, None)

    async def test_goes_back_before_a_gap_at_the_very_start(self) -> None:
        detecting = Detecting()

        assert detecting.detector.is_new
        assert await detecting.feed(5, 0) == (False, 0)
        assert not detecting.detector.is_new
        assert await detecting.feed(0, 0) == (True, None)

    async def test_skips_what_is_finished(self) -> None:
        assert await Detecting().feed(4, 5) == (False, None)

    async def test_goes_back_before_a_gap_and_drops_what_was_queued_behind_it(self) -> None:
        detecting = Detecting()

        assert await detecting.feed(14, 1) == (False, 1)
        assert await detecting.feed(15, 1) == (False, None)
        assert await detecting.feed(16, 1) == (False, None)
        assert await detecting.feed(1, 1) == (True, None)
        assert await detecting.feed(2, 2) == (True, None)

    async def test_believes_a_gap_that_is_there_again(self) -> None:
        detecting = Detecting()

        assert await detecting.feed(14, 1) == (False, 1)
        assert await detecting.feed(14, 1) == (True, None)
        assert await detecting.feed(15, 15) == (True, None)

    async def test_believes_the_part_of_a_gap_that_is_the_log_s_own(self) -> None:
        detecting = Detecting()

        assert await detecting.feed(14, 1) == (False, 1)
        assert await detecting.feed(3, 1) == (True, None)
        assert await detecting.feed(4, 4) == (True, None)

    async def test_goes_back_again_when_going_back_was_in_vain(self) -> None:
        detecting = Detecting()
        await detecting.feed(14, 1, now=0)

        assert await detecting.feed(15, 1, now=6) == (False, 1)
        assert await detecting.feed(16, 1, now=7) == (False, None)
        assert await detecting.feed(1, 1, now=8) == (True, None)
