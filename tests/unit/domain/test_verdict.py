from __future__ import annotations

import pytest

from hookseal.domain.verdict import Judgement, Verdict, judge, retry_after_s

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def verdict_of(status: int, retry_after: str | None = None, cap_s: float = 60) -> Judgement:
    return judge(status, retry_after, now=NOW, cap_s=cap_s)


class TestJudge:
    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_any_2xx_is_accepted(self, status: int) -> None:
        assert verdict_of(status).verdict is Verdict.ACCEPTED

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
    def test_a_redirect_is_a_failure(self, status: int) -> None:
        judgement = verdict_of(status)

        assert (judgement.verdict, judgement.code) == (Verdict.RETRY, "redirect_not_followed")

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 418, 500, 502, 599])
    def test_everything_else_is_retried(self, status: int) -> None:
        judgement = verdict_of(status)

        assert (judgement.verdict, judgement.code) == (Verdict.RETRY, f"http_{status}")

    def test_410_means_gone(self) -> None:
        assert verdict_of(410).verdict is Verdict.GONE

    @pytest.mark.parametrize("status", [429, 503])
    def test_retry_after_is_honoured_up_to_the_cap(self, status: int) -> None:
        assert verdict_of(status, "30").wait_s == 30
        assert verdict_of(status, "3600").wait_s == 60

    def test_retry_after_counts_only_where_the_rfcs_give_it_a_meaning(self) -> None:
        assert verdict_of(500, "30").wait_s == 0


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("120", 120),
            (" 7 ", 7),
            ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
            ("Tuesday, 14-Nov-23 22:14:20 GMT", 60),
            ("Tue Nov 14 22:14:20 2023", 60),
            ("Tue, 14 Nov 2023 22:00:00 GMT", 0),
            ("-5", 0),
            ("1.5", 0),
            ("", 0),
            ("soon", 0),
            ("9" * 400, 0),
            ("Tue, 99 Nov 2023 22:14:20 GMT", 0),
            ("\u0661\u0662", 0),
        ],
    )
    def test_reads_seconds_and_dates_and_ignores_the_rest(
        self, header: str, seconds: float
    ) -> None:
        assert retry_after_s(header, now=NOW) == seconds
