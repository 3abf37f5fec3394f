from __future__ import annotations

from hookseal.publishing.deduplication import Published, RecentIds, fingerprint_of, mark_of
from hookseal.publishing.follower import ReadPosition


def a_place(offset: int = 7, at: float = 100.0) -> Published:
    return Published(fingerprint_of(b"x"), 1, offset, at)


def marks(count: int) -> list[bytes]:
    return [mark_of(b"acme", b"evt_%d" % number) for number in range(count)]


class TestRecentIds:
    def test_the_first_place_within_the_window_counts(self) -> None:
        recent, (mark,) = RecentIds(ids_max=9, window_s=60), marks(1)

        recent.remember(mark, a_place(7, at=100))
        recent.remember(mark, a_place(8, at=150))

        assert recent.get(mark, now=160) == a_place(7, at=100)

    def test_an_id_is_forgotten_after_the_window(self) -> None:
        recent, (mark,) = RecentIds(ids_max=9, window_s=60), marks(1)

        recent.remember(mark, a_place(7, at=100))

        assert recent.get(mark, now=161) is None
        recent.remember(mark, a_place(8, at=161))
        assert recent.get(mark, now=161) == a_place(8, at=161)

    def test_the_oldest_goes_for_a_new_one(self) -> None:
        recent, (one, two, three) = RecentIds(ids_max=2, window_s=60), marks(3)

        for mark in (one, two, three):
            recent.remember(mark, a_place())

        assert len(recent) == 2
        assert recent.get(one, now=100) is None
        assert recent.get(three, now=100) is not None

    def test_what_is_over_takes_no_memory(self) -> None:
        recent, found = RecentIds(ids_max=99, window_s=60), marks(4)

        for moment, mark in enumerate(found):
            recent.remember(mark, a_place(at=moment * 50.0))

        assert len(recent) == 2


class TestMarks:
    def test_one_for_each_customer_id_and_copy(self) -> None:
        found = {
            mark_of(b"acme", b"evt_1"),
            mark_of(b"acme", b"evt_2"),
            mark_of(b"other", b"evt_1"),
            mark_of(b"", b"evt_1", 0),
            mark_of(b"", b"evt_1", 1),
        }

        assert len(found) == 5


class TestSeen:
    def test_what_was_written_here_need_not_be_read(self) -> None:
        seen = ReadPosition(10)

        seen.wrote(10, 5)
        seen.wrote(15, 2)

        assert seen.offset == 17

    def test_what_others_wrote_before_it_must(self) -> None:
        seen = ReadPosition(10)

        seen.wrote(12, 5)

        assert seen.offset == 10

    def test_and_is_joined_to_it_once_it_is_read(self) -> None:
        seen = ReadPosition(10)
        seen.wrote(12, 5)
        seen.wrote(17, 3)

        seen.read_to(12)

        assert seen.offset == 20

    def test_a_second_gap_is_read_as_well(self) -> None:
        seen = ReadPosition(10)
        seen.wrote(12, 1)
        seen.wrote(20, 5)

        seen.read_to(13)
        assert seen.offset == 13

        seen.read_to(21)
        assert seen.offset == 25
