"""What a run of the tests says about itself: a budget of time for each test, what did not run.

A pytest plug-in; tests/conftest.py loads it.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["BUDGET_S", "RunReport", "own_seconds"]

# Of a test without the marker `slow`: set-up, call and tear-down together.
BUDGET_S = 5.0
EXTENDED = "extended"

_SCHEDSTAT = Path("/proc/self/schedstat")
_STARTED = pytest.StashKey[tuple[float, float]]()


def own_seconds(started: tuple[float, float], now: tuple[float, float]) -> float:
    """Seconds between two readings of `clocks`, without those spent waiting for a CPU."""
    return (now[0] - started[0]) - (now[1] - started[1])


def clocks() -> tuple[float, float]:
    """Seconds on the clock, and seconds for which this process waited for a CPU (Linux)."""
    try:
        waited_ns = int(_SCHEDSTAT.read_text().split()[1])
    except (OSError, IndexError):
        waited_ns = 0
    return time.monotonic(), waited_ns / 1e9


class RunReport:
    """Fails tests over their budget; counts what did not run, and why."""

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._skipped: Counter[str] = Counter()
        self._left_out: set[str] = set()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        item.stash[_STARTED] = clocks()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        took_s = own_seconds(item.stash[_STARTED], clocks())
        if (
            call.when == "teardown"
            and report.passed
            and took_s > self._budget_s
            and item.get_closest_marker("slow") is None
        ):
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid} took {took_s:.1f} s, without waiting for a CPU. The budget is "
                f"{self._budget_s:.0f} s. Make it quicker, or mark it `slow` if that is impossible."
            )
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # `wasxfail`: an expected failure ran.
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._skipped[reason.removeprefix("Skipped: ")] += 1

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self._left_out.update(
            item.nodeid for item in items if item.get_closest_marker(EXTENDED) is not None
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_testnodedown(self, node: object) -> None:
        # Each worker of xdist deselects the same tests.
        output = getattr(node, "workeroutput", {})
        self._left_out.update(output.get(EXTENDED, ()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[EXTENDED] = sorted(self._left_out)

    def summary(self) -> str:
        """One line on what did not run. Empty if everything did."""
        parts = [f"{count} {reason}" for reason, count in sorted(self._skipped.items())]
        if self._left_out:
            parts.append(f"{len(self._left_out)} extended tests (make test-all runs them)")
        total = self._skipped.total() + len(self._left_out)
        return f"Did not run: {total} tests: {'; '.join(parts)}." if parts else ""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RunReport(), "run-report")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    report = config.pluginmanager.get_plugin("run-report")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(report, RunReport) and terminal is not None and (line := report.summary()):
        terminal.write_line(line)
