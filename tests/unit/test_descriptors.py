from __future__ import annotations

import subprocess
import sys

import pytest

SHOW = "from hookseal import descriptors as d; print(d.raise_soft_limit(), d.soft_limit())"


def limits_in_a_process_started_with(soft: int, hard: int, program: str = SHOW) -> list[int]:
    # A process can lower its hard limit but never raise it again, so each case has its own.
    start = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))"
    shown = subprocess.run(
        [sys.executable, "-c", f"{start}\n{program}"], check=True, capture_output=True, text=True
    )
    return [int(number) for number in shown.stdout.split()]


@pytest.mark.parametrize(("soft", "hard"), [(256, 1_500), (256, 256), (1_024, 4_096)])
def test_the_soft_limit_is_raised_to_the_hard_limit(soft: int, hard: int) -> None:
    assert limits_in_a_process_started_with(soft, hard) == [hard, hard]


def test_both_limits_are_those_of_the_process() -> None:
    show = "from hookseal import descriptors as d; print(d.soft_limit(), d.hard_limit())"

    assert limits_in_a_process_started_with(300, 900, show) == [300, 900]


@pytest.mark.parametrize(("hard", "status"), [(2_000, "warn"), (4_096, "ok")])
def test_the_doctor_warns_of_a_low_limit(hard: int, status: str) -> None:
    start = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (512, {hard}))"
    show = (
        "from hookseal.cli.doctor import environment_checks\n"
        "(check,) = [c for c in environment_checks() if c.name == 'descriptors']\n"
        "print(check.status, check.message)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", f"{start}\n{show}"], check=True, capture_output=True, text=True
    )

    assert shown.stdout.startswith(f"{status} soft limit 512, hard limit {hard:,} open files")
