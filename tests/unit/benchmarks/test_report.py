"""From what was measured to what is printed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.meter import Pace
from benchmarks.report import (
    PACE_COLUMNS,
    document,
    machine,
    machine_line,
    memory_line,
    pace_lines,
    pace_rows,
    seal_rows,
    setting_line,
)
from benchmarks.rounds import Results, Round
from benchmarks.scenario import Scenario
from benchmarks.worker_run import WorkerRun

SCENARIO = Scenario(events=1000, rounds=3)


def a_round(worker_per_s: float, reference_per_s: float | None) -> Round:
    return Round(
        worker=WorkerRun(
            pace=Pace(worker_per_s, 400.0),
            peak_rss_bytes=100_000_000,
            received=1000,
            accepted=1000,
            dead_letters=0,
        ),
        idle=Pace(20_000.0, 40.0),
        bare=Pace(8000.0, 100.0),
        reference=None if reference_per_s is None else Pace(reference_per_s, 900.0),
        seal_us={"rsa-2048": 35.0},
    )


def figures(*rounds: Round, without_reference: str | None = None) -> dict[str, Any]:
    results = Results(rounds, memory=None, without_reference=without_reference)
    return document(results, SCENARIO, "apache")


class TestWithTheReference:
    FIGURES = figures(a_round(2000.0, 1000.0), a_round(1000.0, 800.0), a_round(2400.0, 800.0))

    def test_the_ratio_to_it_is_the_median_of_the_rounds_own(self) -> None:
        # Of the medians it would be 2.5: of runs that were not beside each other.
        assert self.FIGURES["ratios"]["worker_to_reference"] == pytest.approx(2.0)
        assert self.FIGURES["ratios"]["worker_to_bare_loop"] == pytest.approx(0.25)

    def test_all_rates_are_kept(self) -> None:
        assert self.FIGURES["reference"]["rates"] == [1000.0, 800.0, 800.0]
        assert self.FIGURES["worker"]["rates"] == [2000.0, 1000.0, 2400.0]

    def test_it_has_a_row_under_the_columns(self) -> None:
        rows = pace_rows(self.FIGURES)

        assert {len(row) for row in rows} == {len(PACE_COLUMNS)}
        assert rows[0] == ("hookseal worker, webhooks", 2000, 400, "1000-2400", 100)
        assert rows[1][1:] == (800, 900, "800-1000", None)

    def test_the_line_has_each_ratio(self) -> None:
        assert pace_lines(self.FIGURES) == [
            "worker / bare loop 0.25, worker / idle agent 0.10, worker / kafkajs consumer 2.00"
        ]


class TestWithoutTheReference:
    FIGURES = figures(a_round(2000.0, None), without_reference="Install Node.")

    def test_there_is_no_row_and_no_ratio_and_a_line_says_why(self) -> None:
        assert len(pace_rows(self.FIGURES)) == 3
        assert self.FIGURES["reference"] is None
        assert self.FIGURES["ratios"]["worker_to_reference"] is None
        assert pace_lines(self.FIGURES) == [
            "worker / bare loop 0.25, worker / idle agent 0.10",
            "Without kafkajs: Install Node.",
        ]


def test_one_event_too_many_is_not_exact() -> None:
    one = a_round(2000.0, 1000.0)

    twice = replace(one, worker=replace(one.worker, received=1001))

    assert figures(one)["worker"]["exact"]
    assert not figures(one, twice)["worker"]["exact"]


def test_what_was_not_asked_for_is_not_said() -> None:
    found = figures(a_round(2000.0, 1000.0))

    assert memory_line(found) is None
    assert seal_rows(found) == [("rsa-2048", 35)]
    assert "1000 events of 1024 bytes" in setting_line(found)


def test_the_machine_is_named_with_what_runs_on_it() -> None:
    found = machine("apache")

    assert found["cpus"] > 0
    assert found["memory_bytes"] > 0
    assert {"hookseal", "faust-streaming", "aiokafka"} <= found["versions"].keys()
    assert f"{found['cpus']} CPUs" in machine_line(found)
    assert "apache broker" in machine_line(found)
