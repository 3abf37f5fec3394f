"""Tenants of the distance benchmark, its runs, and what is made of them."""

from __future__ import annotations

from collections import Counter
from statistics import median

import orjson
import pytest

from benchmarks.distance_run import (
    DISTANCE_COLUMNS,
    WAYS,
    DistanceRun,
    distance_figures,
    distance_rows,
    events_of,
)
from benchmarks.load import make_customers
from benchmarks.meter import Pace
from benchmarks.scenario import PARTITIONS
from benchmarks.worker_run import WorkerRun
from hookseal.kafka.partitioner import partition_of

PARTITION, CUSTOMER, RAISED = (way.name for way in WAYS)


def a_run(latency_s: float, way: str, per_s: float, *, received: int = 600) -> DistanceRun:
    worker = WorkerRun(
        pace=Pace(per_s=per_s, cpu_us=400.0),
        peak_rss_bytes=1_000_000,
        received=received,
        accepted=600,
        dead_letters=0,
    )
    return DistanceRun(latency_s, way, customers=60, events=600, worker=worker)


RUNS = [
    a_run(latency_s, way, per_s * 0.05 / latency_s)
    for latency_s in (0.2, 0.05)
    for way, rates in ((PARTITION, (100, 120, 110)), (CUSTOMER, (2200,)), (RAISED, (2420,)))
    for per_s in rates
]


class TestManyCustomers:
    def test_are_different_and_evenly_on_all_partitions(self) -> None:
        made = make_customers(keys=1, tenants=100)

        on = Counter(customer.partition for customer in made)
        assert len({customer.customer_id for customer in made}) == 100
        assert set(on) == set(range(PARTITIONS))
        assert max(on.values()) - min(on.values()) <= 1

    def test_stand_where_kafka_puts_their_key(self) -> None:
        for customer in make_customers(keys=1, tenants=20):
            assert partition_of(customer.customer_id, PARTITIONS) == customer.partition

    def test_share_one_key(self) -> None:
        assert len({customer.key.kid for customer in make_customers(keys=1, tenants=20)}) == 1


@pytest.mark.parametrize(
    ("way", "latency_s", "events"),
    [
        (PARTITION, 0.05, 1800),
        (PARTITION, 0.2, 450),
        (PARTITION, 0.0001, 20_000),
        (CUSTOMER, 0.05, 20_000),
        (RAISED, 0.2, 20_000),
    ],
)
def test_one_at_a_time_is_given_what_it_can_do_in_15_seconds(
    way: str, latency_s: float, events: int
) -> None:
    assert events_of(way, latency_s, 20_000) == events


class TestFigures:
    def test_are_medians_by_latency_and_way(self) -> None:
        figures = distance_figures(RUNS, "apache")

        near, far = figures["distances"]
        assert (near["latency_s"], far["latency_s"]) == (0.05, 0.2)
        assert near["ways"][PARTITION]["per_s"] == median((100, 120, 110))
        assert near["ways"][CUSTOMER]["times_partition"] == pytest.approx(20)
        assert near["ways"][RAISED]["times_partition"] == pytest.approx(22)
        assert far["ways"][PARTITION]["rates"] == pytest.approx([25, 30, 27.5])

    def test_say_with_which_settings(self) -> None:
        settings = distance_figures(RUNS, "apache")["settings"]

        assert settings[CUSTOMER] == {"HOOKSEAL_ORDERING": "customer"}
        assert settings[RAISED]["HOOKSEAL_MAX_IN_FLIGHT"] == "256"
        assert distance_figures(RUNS, "apache")["customers"] == 60

    def test_can_be_written_as_json(self) -> None:
        document = orjson.loads(orjson.dumps(distance_figures(RUNS, "apache")))

        assert document["runs"][0]["worker"]["pace"] == {"per_s": 25.0, "cpu_us": 400.0}

    def test_are_exact_if_each_run_was(self) -> None:
        twice = a_run(0.05, PARTITION, 100, received=601)

        assert distance_figures(RUNS, "apache")["exact"] is True
        assert distance_figures([*RUNS, twice], "apache")["exact"] is False

    def test_fill_the_table(self) -> None:
        rows = distance_rows(distance_figures(RUNS, "apache"))

        assert rows[:2] == [
            ("50 ms", "partition", 110, "1.0", 400, "100, 120, 110"),
            ("50 ms", "customer", 2200, "20.0", 400, "2200"),
        ]
        assert len(rows) == 6
        assert {len(row) for row in rows} == {len(DISTANCE_COLUMNS)}
