from __future__ import annotations

import pytest

from hookseal.domain.backoff import Backoff

PLAIN = Backoff(base_s=1, factor=2, cap_s=60, jitter=0)


class TestBackoff:
    def test_doubles_up_to_the_cap(self) -> None:
        delays = [PLAIN.delay_after(n, draw=0.5) for n in range(1, 9)]

        assert delays == [1, 2, 4, 8, 16, 32, 60, 60]

    def test_jitter_is_a_share_of_the_delay(self) -> None:
        backoff = Backoff(base_s=10, jitter=0.2)

        assert backoff.delay_after(1, draw=0) == pytest.approx(8)
        assert backoff.delay_after(1, draw=0.5) == pytest.approx(10)
        assert backoff.delay_after(1, draw=1) == pytest.approx(12)

    def test_explicit_delays_replace_the_formula_and_set_the_attempts(self) -> None:
        backoff = Backoff(jitter=0, max_attempts=99, delays_s=(5, 7))

        assert backoff.attempts == 3
        assert [backoff.delay_after(n, draw=0.5) for n in (1, 2, 3)] == [5, 7, 7]

    def test_no_delays_are_one_attempt(self) -> None:
        assert Backoff(delays_s=()).attempts == 1

    def test_never_waits_less_than_the_receiver_asked_for(self) -> None:
        assert PLAIN.delay_after(1, draw=0.5, at_least_s=30) == 30
        assert PLAIN.delay_after(7, draw=0.5, at_least_s=30) == 60

    def test_forever_does_not_overflow(self) -> None:
        assert PLAIN.delay_after(5000, draw=0.5) == 60

    def test_attempts_are_counted_from_one(self) -> None:
        with pytest.raises(ValueError, match="from 1"):
            PLAIN.delay_after(0, draw=0.5)
