"""The short form of `make chaos`: everything goes wrong for two minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import choose_kind
from tests.chaos.run import Scale, run

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Scale(seed=7, seconds=100, every_s=8, customers=200, events=6000)


@pytest.mark.alone
@pytest.mark.broker
@pytest.mark.apache
@pytest.mark.timeout(420)
def test_nothing_is_lost_and_order_is_kept_whatever_goes_wrong(tmp_path: Path) -> None:
    if choose_kind() != "apache":
        pytest.skip("kills nodes of Apache Kafka; this run has another broker")

    report = run(SHORT, tmp_path)

    for line in report.lines():
        print(line)  # noqa: T201 - the report is what a run is for
    assert (report.lost, report.out_of_order, report.unknown_ids) == (0, 0, 0)
    assert report.published >= SHORT.events
    assert set(report.faults) >= {
        "kill_worker",
        "freeze_worker",
        "kill_broker",
        "kill_api",
        "pause_endpoint",
        "open_transaction",
    }
    assert report.died_by_themselves == []
