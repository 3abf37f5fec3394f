"""Distance and latency on a broker: the books balance; how fast it was is not asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.distance_run import WAYS, distance_figures, run_distance
from benchmarks.latency_run import latency_figures, run_latency
from benchmarks.scenario import Setup

if TYPE_CHECKING:
    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(240)]

EVENTS = 300


class Nobody:
    """Hears of what is under way, and tells nobody."""

    def stage(self, text: str, total: int | None = None) -> None:
        """Something begins."""

    def done(self, steps: int) -> None:
        """So many steps are done."""


def test_each_event_to_a_slow_receiver_is_accepted_once(broker: Broker) -> None:
    runs = run_distance(
        Setup(broker, os.environ, Nobody()),
        events=EVENTS,
        rounds=1,
        latencies_s=(0.02,),
        customers=60,
    )

    assert [run.way for run in runs] == [way.name for way in WAYS]
    assert [run.worker.received for run in runs] == [EVENTS] * len(WAYS)
    assert [run.worker.accepted for run in runs] == [EVENTS] * len(WAYS)
    assert distance_figures(runs, broker.kind)["exact"] is True


def test_each_event_of_an_open_loop_arrives_once(broker: Broker) -> None:
    runs = run_latency(
        Setup(broker, os.environ, Nobody()), per_s=200, seconds=1, rounds=1, shares=(0.25, 0.5)
    )

    figures = latency_figures(runs, broker.kind)
    assert [load["share"] for load in figures["loads"]] == [0.25, 0.5]
    assert [run.arrived for run in runs] == [run.events for run in runs]
    assert sum(run.repeats for run in runs) == 0
    assert all(latency > 0 for run in runs for latency in run.latencies_s)
    assert figures["exact"] is True
