"""One worker process and two: figures out of runs, and several processes as one."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from benchmarks.meter import Pace
from benchmarks.scale_run import (
    LOOK_EVERY_S,
    SCALE_COLUMNS,
    ScaleRun,
    Team,
    is_ready,
    ports_in_a_row,
    scale_figures,
    scale_rows,
)
from benchmarks.worker_run import WorkerRun
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from pathlib import Path

TWO_PROCESSES = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(3600)"])
"""


def a_run(per_s: float, cpu_us: float = 400.0, *, received: int = 1000) -> WorkerRun:
    return WorkerRun(
        pace=Pace(per_s, cpu_us),
        peak_rss_bytes=90_000_000,
        received=received,
        accepted=1000,
        dead_letters=0,
    )


def rounds(*pairs: tuple[WorkerRun, WorkerRun]) -> list[ScaleRun]:
    return [ScaleRun(1000, {1: one, 2: two}) for one, two in pairs]


class TestFigures:
    def test_are_medians_beside_all_that_was_measured(self) -> None:
        runs = rounds(
            (a_run(2000), a_run(3000)), (a_run(1000), a_run(2000)), (a_run(2500), a_run(3500))
        )

        figures = scale_figures(runs, "apache")

        assert (figures["broker"], figures["events"], figures["rounds"]) == ("apache", 1000, 3)
        one, two = figures["processes"]["1"], figures["processes"]["2"]
        assert (one["per_s"], one["rates"]) == (2000, [2000, 1000, 2500])
        assert (two["per_s"], two["cpu_us"]) == (3000, 400.0)
        assert two["cpus_busy"] == pytest.approx(1.2)

    def test_the_gain_is_that_of_each_round_by_itself(self) -> None:
        runs = rounds((a_run(1000), a_run(2000)), (a_run(4000), a_run(4400)))

        assert scale_figures(runs, "apache")["gain"] == pytest.approx((2.0 + 1.1) / 2)

    def test_a_repeat_in_any_run_is_not_exact(self) -> None:
        good = (a_run(1), a_run(1))

        assert scale_figures(rounds(good, good), "apache")["exact"] is True
        bad = (a_run(1), a_run(1, received=1001))
        assert scale_figures(rounds(good, bad), "apache")["exact"] is False

    def test_each_kind_has_a_row(self) -> None:
        rows = scale_rows(scale_figures(rounds((a_run(2000), a_run(3000))), "apache"))

        assert {len(row) for row in rows} == {len(SCALE_COLUMNS)}
        assert rows == [
            ("1", "2,000", "", "", "400", "0.80", "2,000-2,000", "90"),
            ("2", "3,000", "1.50", "", "400", "1.20", "3,000-3,000", "90"),
        ]

    def test_beside_the_consumer_on_kafkajs_each_round_has_a_ratio_of_its_own(self) -> None:
        runs = [
            ScaleRun(1000, {1: a_run(2000), 2: a_run(3000)}, Pace(1000, 500.0)),
            ScaleRun(1000, {1: a_run(2000), 2: a_run(4000)}, Pace(2000, 400.0)),
            ScaleRun(1000, {1: a_run(3000), 2: a_run(4400)}, Pace(2000, 450.0)),
        ]

        figures = scale_figures(runs, "apache")
        *_, last = scale_rows(figures)

        assert figures["to_reference"] == {"1": 1.5, "2": 2.2}
        assert last == ("kafkajs, 1", "2,000", "", "1.00", "450", "0.80", "1,000-2,000", "")


def test_a_team_is_all_its_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TWO_PROCESSES]

    with Team(command, dict(os.environ), tmp_path / "log") as team:
        started = psutil.Process(team.pid)
        team.reach(lambda: len(started.children()), 1, every_s=LOOK_EVERY_S)
        team.count_in()

        alone = started.memory_info().rss
        assert team.rss_bytes > alone > 0
        assert team.cpu_s >= 0


def test_a_team_that_lost_a_process_is_not_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"{TWO_PROCESSES}\nimport time; time.sleep(3600)"]

    with Team(command, dict(os.environ), tmp_path / "log") as team:
        started = psutil.Process(team.pid)
        team.reach(lambda: len(started.children()), 1, every_s=LOOK_EVERY_S)
        team.count_in()
        (child,) = started.children()
        child.kill()
        team.reach(lambda: 1 - len(started.children()), 1, every_s=LOOK_EVERY_S)

        with pytest.raises(HooksealError) as refusal:
            assert team.cpu_s

    assert refusal.value.code == "bench_process_ended"


def test_ports_come_one_after_the_other() -> None:
    first, second, third = ports_in_a_row(3)

    assert (second, third) == (first + 1, first + 2)
    for port in (first, second, third):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_a_worker_that_nobody_hears_is_not_ready() -> None:
    assert not is_ready(ports_in_a_row(1)[0])
