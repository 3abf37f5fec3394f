"""`python -m benchmarks --hostile`: every event of a neighbour's arrives, whoever is beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.test_letters_bench import figures_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(120)]


def test_neighbours_of_hostile_receivers_get_all_their_events(
    broker: Broker, tmp_path: Path
) -> None:
    figures = figures_of(broker, tmp_path, "--hostile", "--smoke")

    assert figures["events"] == 400
    assert figures["hostile_requests"] > 0
    for name in ("quiet_p50_ms", "quiet_p99_ms", "beside_p50_ms", "beside_p99_ms"):
        assert len(figures[name]) == 1
        assert figures[name][0] > 0
