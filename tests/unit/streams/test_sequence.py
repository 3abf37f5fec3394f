from __future__ import annotations

from streams.sequence import Sequence


def feed(
    sequence: Sequence, offset: int, finished: int, now: float = 0.0
) -> tuple[bool, int | None]:
    go_back_to = sequence.gap_before(offset, finished=finished, now=now)
    return sequence.is_next, go_back_to


class TestSequence:
    def test_takes_what_comes_in_order(self) -> None:
        sequence = Sequence()

        assert feed(sequence, 5, 5) == (True, None)
        assert feed(sequence, 6, 6) == (True, None)

    def test_takes_the_first_record_if_it_is_the_one_that_is_due(self) -> None:
        assert feed(Sequence(), 0, 0) == (True, None)
        assert feed(Sequence(), 1000, 1000) == (True, None)

    def test_goes_back_before_a_gap_at_the_very_start(self) -> None:
        sequence = Sequence()

        assert sequence.is_new
        assert feed(sequence, 5, 0) == (False, 0)
        assert not sequence.is_new
        assert feed(sequence, 0, 0) == (True, None)

    def test_skips_what_is_finished(self) -> None:
        assert feed(Sequence(), 4, 5) == (False, None)

    def test_goes_back_before_a_gap_and_drops_what_was_queued_behind_it(self) -> None:
        sequence = Sequence()

        assert feed(sequence, 14, 1) == (False, 1)
        assert feed(sequence, 15, 1) == (False, None)
        assert feed(sequence, 16, 1) == (False, None)
        assert feed(sequence, 1, 1) == (True, None)
        assert feed(sequence, 2, 2) == (True, None)

    def test_believes_a_gap_that_is_there_again(self) -> None:
        sequence = Sequence()

        assert feed(sequence, 14, 1) == (False, 1)
        assert feed(sequence, 14, 1) == (True, None)
        assert feed(sequence, 15, 15) == (True, None)

    def test_believes_the_part_of_a_gap_that_is_the_log_s_own(self) -> None:
        sequence = Sequence()

        assert feed(sequence, 14, 1) == (False, 1)
        assert feed(sequence, 3, 1) == (True, None)
        assert feed(sequence, 4, 4) == (True, None)

    def test_goes_back_again_when_going_back_was_in_vain(self) -> None:
        sequence = Sequence()
        feed(sequence, 14, 1, now=0)

        assert feed(sequence, 15, 1, now=6) == (False, 1)
        assert feed(sequence, 16, 1, now=7) == (False, None)
        assert feed(sequence, 1, 1, now=8) == (True, None)
