"""The benchmark of recovery: every tenant comes back; how fast it was is not asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.recovery_run import recovery_figures, recovery_rows, run_recovery
from benchmarks.scenario import Setup

if TYPE_CHECKING:
    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

TENANTS = 500


class Silent:
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str, _: int | None = None) -> None:
        self.stages.append(text)

    def done(self, steps: int) -> None:
        assert steps <= TENANTS


def test_every_tenant_comes_back(broker: Broker) -> None:
    watcher = Silent()

    runs = run_recovery(Setup(broker, os.environ, watcher), tenants=[TENANTS])

    figures = recovery_figures(runs, broker.kind)
    assert [(run.store, run.start) for run in runs] == [
        ("memory", "cold"),
        ("rocksdb", "cold"),
        ("rocksdb", "warm"),
    ]
    assert figures["exact"], figures
    assert runs[0].records == TENANTS
    assert len(recovery_rows(figures)) == len(runs) == len(watcher.stages) - 1
