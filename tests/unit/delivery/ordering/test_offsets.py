from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hookseal.delivery.ordering import OffsetTracker, offset_metadata
from hookseal.delivery.ordering.offset_metadata import METADATA_MAX_CHARS

offsets = st.lists(st.integers(0, 60), max_size=60)


class TestOffsetTracker:
    def test_moves_its_mark_only_over_what_is_finished_without_a_hole(self) -> None:
        progress = OffsetTracker()

        progress.mark_done(0)
        progress.mark_done(2)
        progress.mark_done(3)

        assert (progress.low_watermark, progress.completed_ranges) == (1, ((2, 4),))
        progress.mark_done(1)
        assert (progress.low_watermark, progress.completed_ranges) == (4, ())

    @given(offsets, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=5))
    def test_is_the_set_of_what_was_finished(
        self, singles: list[int], ranges: list[tuple[int, int]]
    ) -> None:
        progress, finished = OffsetTracker(), set[int]()
        for offset in singles:
            progress.mark_done(offset)
            finished.add(offset)
        for start, end in ranges:
            progress.mark_range_done(start, end)
            finished.update(range(start, end))

        assert [offset for offset in range(70) if offset in progress] == sorted(finished)
        assert progress.low_watermark == next(n for n in range(70) if n not in finished)
        edges = [edge for pair in progress.completed_ranges for edge in pair]
        assert edges == sorted(set(edges))
        assert all(edge > progress.low_watermark for edge in edges)

    def test_never_goes_back(self) -> None:
        progress = OffsetTracker()
        progress.mark_done_below(10)

        progress.load(3, [(5, 7)])

        assert (progress.low_watermark, progress.completed_ranges) == (10, ())


class TestOffsetMetadata:
    @given(st.integers(0, 10**12), offsets)
    def test_tells_what_is_finished_above_the_mark(self, start: int, finished: list[int]) -> None:
        progress, successor = OffsetTracker(), OffsetTracker()
        progress.mark_done_below(start)
        for offset in finished:
            progress.mark_done(start + offset)

        note = offset_metadata.encode(progress.low_watermark, progress.completed_ranges)
        successor.load(progress.low_watermark, offset_metadata.decode(note, progress.low_watermark))

        assert (successor.low_watermark, successor.completed_ranges) == (
            progress.low_watermark,
            progress.completed_ranges,
        )

    def test_holds_a_whole_window_of_every_other_event(self) -> None:
        above = [(2 * number, 2 * number + 1) for number in range(1, 1025)]

        note = offset_metadata.encode(0, above)

        assert offset_metadata.decode(note, 0) == above
        assert len(note) <= METADATA_MAX_CHARS

    def test_leaves_out_the_highest_where_not_all_of_it_fits(self) -> None:
        above = [(1000 * number, 1000 * number + 500) for number in range(1, 2000)]

        note = offset_metadata.encode(0, above)

        kept = offset_metadata.decode(note, 0)
        assert len(note) <= METADATA_MAX_CHARS
        assert 0 < len(kept) < len(above)
        assert kept == above[: len(kept)]

    @given(st.one_of(st.text(), st.text(alphabet="AQaz09-_=").map("h1:".__add__)))
    def test_of_somebody_else_breaks_nothing(self, text: str) -> None:
        progress = OffsetTracker()

        progress.load(5, offset_metadata.decode(text, 5))

        assert progress.low_watermark >= 5

    def test_of_another_kind_says_nothing(self) -> None:
        assert offset_metadata.decode("", 5) == []
        assert offset_metadata.decode("moved by hand", 5) == []
        assert offset_metadata.decode("h1:gA", 5) == []

    def test_with_a_number_beyond_any_offset_says_nothing(self) -> None:
        largest = 2**63 - 1

        assert offset_metadata.decode(offset_metadata.encode(0, [(largest, largest + 1)]), 0) == [
            (largest, largest + 1)
        ]
        assert offset_metadata.decode(offset_metadata.encode(0, [(2**63, 2**63 + 1)]), 0) == []
        assert offset_metadata.decode("h1:" + "_" * 100_000, 0) == []
