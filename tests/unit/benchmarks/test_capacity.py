"""The formula of docs/capacity.md, held against the real scheduler, and the page's own table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.capacity import Bounds, Load, bounds_of, deployment_per_s, plan
from benchmarks.simulation import simulate
from hookseal.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hookseal.domain.endpoint import Ordering

PAGE = (Path(__file__).parents[3] / "docs" / "capacity.md").read_text()
# A customer of the model has one endpoint: `endpoint` and `key` are like `customer`.
ORDERINGS: tuple[Ordering, ...] = ("partition", "customer", "unordered")
A_PARTITION = Load("partition", latency_s=0.05)
BY_CUSTOMER = Load("customer", latency_s=0.05)
UNORDERED = Load("unordered", latency_s=0.2)

# Each is bound by one limit that is well below all others: a load, partitions, workers, customers.
REGIMES = {
    "partitions": (A_PARTITION, 6, 1, 1000),
    "the CPU of a worker": (replace(A_PARTITION, latency_s=0.0), 6, 1, 1000),
    "the CPUs of three workers": (replace(BY_CUSTOMER, cpu_s=0.005), 60, 3, 1000),
    "customers": (BY_CUSTOMER, 6, 1, 4),
    "attempts in progress": (replace(BY_CUSTOMER, latency_s=0.2), 1, 1, 1000),
    "events in progress": (replace(BY_CUSTOMER, bounds=Bounds(events=8)), 1, 1, 1000),
    "attempts in progress, unordered": (UNORDERED, 1, 1, 1000),
    "attempts of a customer": (UNORDERED, 6, 1, 2),
    "connections": (replace(UNORDERED, bounds=Bounds(connections=10)), 4, 1, 100),
}


class TestSimulation:
    @pytest.mark.parametrize(
        ("load", "partitions", "workers", "customers"), REGIMES.values(), ids=REGIMES
    )
    def test_the_scheduler_reaches_what_the_formula_says(
        self, load: Load, partitions: int, workers: int, customers: int
    ) -> None:
        most = deployment_per_s(load, partitions=partitions, workers=workers, customers=customers)

        found = simulate(
            load, partitions=partitions, workers=workers, customers=customers, events=4000
        )

        assert found.per_s == pytest.approx(most, rel=0.06)

    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_below_the_limit_events_hardly_wait(self, ordering: Ordering) -> None:
        load = Load(ordering, latency_s=0.05)

        found = simulate(load, partitions=100, customers=5000, per_s=100, events=4000)

        assert found.per_s == pytest.approx(100, rel=0.1)
        assert load.held_s <= found.p50_s < 1.2 * load.held_s
        assert found.left < 20

    def test_above_the_limit_the_backlog_grows(self) -> None:
        load = A_PARTITION

        found = simulate(load, partitions=6, customers=1000, per_s=240, events=4000)

        assert found.per_s < 125
        assert found.left > 1000

    def test_the_same_seed_gives_the_same_result(self) -> None:
        first, second, other = (
            simulate(BY_CUSTOMER, partitions=6, per_s=200, events=500, seed=seed)
            for seed in (1, 1, 2)
        )

        assert first == second != other


class TestPlan:
    @pytest.mark.parametrize("ordering", ORDERINGS)
    @pytest.mark.parametrize("per_s", [10, 1000, 77_777])
    def test_what_is_planned_carries_the_load_with_headroom(
        self, ordering: Ordering, per_s: float
    ) -> None:
        load = Load(ordering, latency_s=0.12)

        found = plan(load, per_s, utilisation=0.5)

        carried = deployment_per_s(
            load,
            partitions=found.partitions,
            workers=found.workers,
            customers=max(found.customers, found.partitions),
        )
        assert carried >= 2 * per_s
        assert found.partitions % found.workers == 0

    def test_larger_events_need_more_bytes_and_no_more_workers(self) -> None:
        small, large = (plan(BY_CUSTOMER, 1000, event_bytes=size) for size in (1024, 32_768))

        assert large.egress > 10 * small.egress
        assert large.kafka_in > 10 * small.kafka_in
        assert (large.workers, large.partitions) == (small.workers, small.partitions)

    def test_the_limits_are_those_of_the_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOOKSEAL_MAX_IN_FLIGHT", "64")

        assert bounds_of(Settings()) == replace(Bounds(), attempts=64)


def table_under(heading: str) -> Iterator[list[str]]:
    """Return the cells of each row of the first table in a section of the page."""
    lines = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("| ")]
    for row in rows[2:]:
        yield [cell.strip(" `").replace(",", "") for cell in row.strip("|").split("|")]


def seconds_of(cell: str) -> float:
    return float(cell.removesuffix(" ms")) / 1000


class TestPage:
    def test_its_table_is_what_the_formula_says(self) -> None:
        rows = list(table_under("What a load needs"))

        assert len(rows) == 12
        for per_s, latency, ordering, *cells in rows:
            assert ordering in ORDERINGS
            load = Load(ordering, latency_s=float(latency.removesuffix(" ms")) / 1000)
            found = plan(load, float(per_s))
            megabytes = (found.kafka_in, found.kafka_out, found.egress)
            assert cells == [
                *map(str, (found.workers, found.partitions, found.customers, found.brokers)),
                *(f"{size / 1e6:.1f}" for size in megabytes),
            ]

    def test_its_measurements_stand_beside_the_formula(self) -> None:
        rows = list(table_under("Measured"))

        assert len(rows) == 8
        for _, partitions, workers, customers, latency, mode, formula, measured in rows:
            ordering, _, attempts = mode.partition("` `HOOKSEAL_MAX_IN_FLIGHT=")
            bounds = Bounds(attempts=int(attempts)) if attempts else Bounds()
            load = Load(
                cast("Ordering", ordering), float(latency.removesuffix(" ms")) / 1000, bounds=bounds
            )
            most = deployment_per_s(
                load,
                partitions=int(partitions),
                workers=int(workers),
                customers=int(customers),
            )
            assert formula == f"{most:.0f}"
            assert float(measured) == pytest.approx(most, rel=0.25)


class TestCommand:
    def test_a_simulation_prints_the_formula_beside_it(self, tmp_path: Path) -> None:
        file = tmp_path / "figures.json"
        arguments = "simulate --rate 100 --ordering customer --partitions 6 --events 500 --json"

        run = CliRunner().invoke(app, [*arguments.split(), str(file)])

        assert run.exit_code == 0, run.output
        assert "p99 ms" in run.output
        figures = json.loads(file.read_bytes())
        assert figures["simulated"]["p50_s"] > 0.05
        assert figures["formula"]["per_s"] == pytest.approx(3333, abs=1)

    def test_a_plan_is_what_the_formula_says(self, tmp_path: Path) -> None:
        file = tmp_path / "plans.json"
        arguments = "simulate --plan --rate 5000 --latency-ms 120 --json"

        run = CliRunner().invoke(app, [*arguments.split(), str(file)])

        assert run.exit_code == 0, run.output
        plans = {one["ordering"]: one for one in json.loads(file.read_bytes())["plans"]}
        assert list(plans) == list(ORDERINGS)
        assert plans["customer"]["partitions"] == plan(Load("customer", 0.12), 5000).partitions
