"""Pauses between retries, and log lines that repeat with them."""

from hookseal.retry import LogThrottle, RetryDelay


class TestRetryDelay:
    def test_doubles_up_to_the_cap_and_begins_again_after_a_reset(self) -> None:
        delay = RetryDelay(0.5, 3.0)

        assert [delay.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]

        delay.reset()
        assert delay.next_s() == 0.5


class TestLogThrottle:
    def test_lets_a_line_through_at_once_and_then_one_a_minute_that_counts_the_others(self) -> None:
        throttle = LogThrottle()

        lines = [throttle.lines(now) for now in (7.0, 8.0, 66.9, 67.0, 68.0)]

        assert lines == [1, 0, 0, 3, 0]

    def test_counts_each_key_apart(self) -> None:
        throttle = LogThrottle()

        assert [throttle.lines(0.0, key) for key in ("a", "b", "a")] == [1, 1, 0]
