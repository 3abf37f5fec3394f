from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hookseal.delivery.lanes import Progress
from hookseal.delivery.lanes.note import NOTE_MAX, note_of, ranges_in

offsets = st.lists(st.integers(0, 60), max_size=60)


class TestProgress:
    def test_moves_its_mark_only_over_what_is_finished_without_a_hole(self) -> None:
        progress = Progress()

        progress.finish(0)
        progress.finish(2)
        progress.finish(3)

        assert (progress.mark, progress.above) == (1, ((2, 4),))
        progress.finish(1)
        assert (progress.mark, progress.above) == (4, ())

    @given(offsets, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=5))
    def test_is_the_set_of_what_was_finished(
        self, singles: list[int], ranges: list[tuple[int, int]]
    ) -> None:
        progress, finished = Progress(), set[int]()
        for offset in singles:
            progress.finish(offset)
            finished.add(offset)
        for start, end in ranges:
            progress.finish_range(start, end)
            finished.update(range(start, end))

        assert [offset for offset in range(70) if offset in progress] == sorted(finished)
        assert progress.mark == next(n for n in range(70) if n not in finished)
        edges = [edge for pair in progress.above for edge in pair]
        assert edges == sorted(set(edges))
        assert all(edge > progress.mark for edge in edges)

    def test_never_goes_back(self) -> None:
        progress = Progress()
        progress.finish_below(10)

        progress.learn(3, [(5, 7)])

        assert (progress.mark, progress.above) == (10, ())


class TestNote:
    @given(st.integers(0, 10**12), offsets)
    def test_tells_what_is_finished_above_the_mark(self, start: int, finished: list[int]) -> None:
        progress, successor = Progress(), Progress()
        progress.finish_below(start)
        for offset in finished:
            progress.finish(start + offset)

        note = note_of(progress.mark, progress.above)
        successor.learn(progress.mark, ranges_in(note, progress.mark))

        assert (successor.mark, successor.above) == (progress.mark, progress.above)

    def test_holds_a_whole_window_of_every_other_event(self) -> None:
        above = [(2 * number, 2 * number + 1) for number in range(1, 1025)]

        note = note_of(0, above)

        assert ranges_in(note, 0) == above
        assert len(note) <= NOTE_MAX

    def test_leaves_out_the_highest_where_not_all_of_it_fits(self) -> None:
        above = [(1000 * number, 1000 * number + 500) for number in range(1, 2000)]

        note = note_of(0, above)

        kept = ranges_in(note, 0)
        assert len(note) <= NOTE_MAX
        assert 0 < len(kept) < len(above)
        assert kept == above[: len(kept)]

    @given(st.one_of(st.text(), st.text(alphabet="AQaz09-_=").map("h1:".__add__)))
    def test_of_somebody_else_breaks_nothing(self, text: str) -> None:
        progress = Progress()

        progress.learn(5, ranges_in(text, 5))

        assert progress.mark >= 5

    def test_of_another_kind_says_nothing(self) -> None:
        assert ranges_in("", 5) == []
        assert ranges_in("moved by hand", 5) == []
        assert ranges_in("h1:gA", 5) == []

    def test_with_a_number_beyond_any_offset_says_nothing(self) -> None:
        largest = 2**63 - 1

        assert ranges_in(note_of(0, [(largest, largest + 1)]), 0) == [(largest, largest + 1)]
        assert ranges_in(note_of(0, [(2**63, 2**63 + 1)]), 0) == []
        assert ranges_in("h1:" + "_" * 100_000, 0) == []
