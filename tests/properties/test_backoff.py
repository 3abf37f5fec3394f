from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.backoff import Backoff
from hookseal.domain.verdict import judge

backoffs = st.builds(
    Backoff,
    base_s=st.floats(0.001, 3600),
    factor=st.floats(1, 10),
    cap_s=st.floats(0.001, 3600),
    jitter=st.floats(0, 0.99),
    max_attempts=st.integers(1, 1000),
    delays_s=st.none() | st.lists(st.floats(0, 3600), max_size=20).map(tuple),
)


@given(backoffs, st.integers(1, 5000), st.floats(0, 1), st.floats(0, 3600))
def test_a_delay_stays_within_its_bounds(
    backoff: Backoff, attempt: int, draw: float, at_least_s: float
) -> None:
    delay = backoff.delay_after(attempt, draw=draw, at_least_s=at_least_s)

    longest = max(backoff.delays_s or (0,)) if backoff.delays_s is not None else backoff.cap_s
    assert at_least_s <= delay <= max(at_least_s, longest * (1 + backoff.jitter) * 1.0001)


@given(backoffs, st.lists(st.floats(0, 3600), max_size=50), st.floats(0, 3600))
def test_other_delays_are_cut_where_their_sum_exceeds_the_limit(
    backoff: Backoff, delays_s: list[float], total_s: float
) -> None:
    cut = backoff.with_delays(tuple(delays_s), total_s=total_s).delays_s

    assert cut is not None
    assert sum(cut) <= total_s * 1.0001
    assert all(kept <= given for kept, given in zip(cut, delays_s, strict=False))
    if sum(delays_s) < total_s:
        assert list(cut) == delays_s


@given(backoffs, st.integers(1, 100))
def test_without_jitter_delays_never_shrink(backoff: Backoff, attempt: int) -> None:
    plain = Backoff(backoff.base_s, backoff.factor, backoff.cap_s, 0, backoff.max_attempts)

    assert plain.delay_after(attempt + 1, draw=0.5) >= plain.delay_after(attempt, draw=0.5)


@given(
    st.integers(200, 599), st.none() | st.text(max_size=40), st.floats(0, 2e9), st.floats(0, 3600)
)
def test_any_answer_is_judged_and_its_wish_is_clamped(
    status: int, retry_after: str | None, now: float, cap_s: float
) -> None:
    judgement = judge(status, retry_after, now=now, cap_s=cap_s)

    assert 0 <= judgement.wait_s <= cap_s
    assert (judgement.code == "accepted") == (200 <= status < 300)
