"""Rates out of counts."""

from __future__ import annotations

import pytest

from benchmarks.meter import Meter, Pace, Sample, pace_of
from benchmarks.worker_run import WorkerRun
from hookseal.errors import HooksealError


def samples(*triples: tuple[float, int, float]) -> list[Sample]:
    return [Sample(*triple) for triple in triples]


def a_worker_run(**changes: int) -> WorkerRun:
    counts = {"received": 100, "accepted": 100, "dead_letters": 0, **changes}
    return WorkerRun(pace=Pace(1.0, 1.0), peak_rss_bytes=1, **counts)


def test_start_and_end_of_a_run_do_not_count() -> None:
    taken = samples((0, 0, 0), (50, 10, 5), (60, 60, 6), (66, 90, 6.8), (99, 100, 9))

    pace = pace_of(taken, 100)

    assert pace.per_s == 80 / 16
    assert pace.cpu_us == pytest.approx(1.8 / 80 * 1e6)


def test_the_first_sample_past_a_mark_stands_for_it() -> None:
    taken = samples((0, 0, 0), (1, 9, 0), (2, 12, 0), (5, 89, 1), (6, 95, 1), (7, 100, 1))

    assert pace_of(taken, 100).per_s == (95 - 12) / (6 - 2)


def test_a_run_within_two_samples_is_measured_from_the_first_of_them() -> None:
    assert pace_of(samples((0, 0, 0), (2, 100, 1)), 100) == Pace(50.0, 10_000.0)


@pytest.mark.parametrize(
    "taken",
    [
        samples((0, 100, 1)),
        samples((0, 0, 0), (0, 100, 1)),
        samples((0, 100, 1), (1, 100, 1)),
        samples((0, 0, 0), (1, 0, 0)),
    ],
)
def test_a_run_in_which_nothing_was_seen_to_happen_has_no_pace(taken: list[Sample]) -> None:
    with pytest.raises(HooksealError) as refusal:
        pace_of(taken, 100)

    assert refusal.value.code == "bench_too_short"


def test_a_meter_says_which_event_is_the_last_and_knows_the_pace() -> None:
    meter = Meter(1000)

    last = [meter.count() for _ in range(1000)]

    assert last == [False] * 999 + [True]
    assert meter.pace().per_s > 0
    assert meter.pace().cpu_us >= 0


def test_each_event_once_and_no_dead_letter_is_exact() -> None:
    assert a_worker_run().is_exact(100)


@pytest.mark.parametrize(
    "changes",
    [{"received": 101}, {"received": 99}, {"accepted": 99}, {"accepted": 101}, {"dead_letters": 1}],
)
def test_a_repeat_a_loss_or_a_dead_letter_is_not_exact(changes: dict[str, int]) -> None:
    assert not a_worker_run(**changes).is_exact(100)
