"""The formulas, by hand, against the code whose sizes they count, and against the simulation."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

import orjson
import pytest

from hookseal.bench.capacity import (
    Demand,
    Work,
    customer_per_s,
    customers_needed,
    deployment_per_s,
    partition_per_s,
    partitions_needed,
    process_per_s,
    work_of,
    workers_needed,
)
from hookseal.bench.capacity_bytes import (
    LOG_RECORD_BYTES,
    TOPICS,
    Assumptions,
    brokers_needed,
    clusters_needed,
    sealed_bytes,
    traffic_of,
)
from hookseal.bench.capacity_cost import Prices, cost_per_million
from hookseal.bench.capacity_table import COLUMNS, demands, plan_figures, plan_for, table_rows
from hookseal.bench.scenario import EVENT_BYTES
from hookseal.bench.sealing import body_bytes
from hookseal.bench.sim_model import Bounds, Model
from hookseal.bench.simulation import drain, open_loop
from hookseal.domain.attempt_record import AttemptRecord, encode
from hookseal.domain.backoff import Backoff
from hookseal.seal.keys import generate_private_key, load_public_key, parse_public_key

if TYPE_CHECKING:
    from hookseal.delivery.lanes.turns import Ordering
    from hookseal.seal.keys import KeyKind

WORK = Work(latency_s=0.0496, cpu_s=0.0004)
BOUNDS = Bounds(window=1000, at_a_time=32, each=8)
A_THOUSAND = Demand(per_s=1000, ordering="customer", work=WORK, bounds=BOUNDS, utilisation=0.5)


class TestRates:
    @pytest.mark.parametrize(
        ("ordering", "customers", "per_s"),
        [
            ("partition", inf, 20),
            ("partition", 1, 20),
            ("customer", 1, 20),
            ("customer", 5, 100),
            ("customer", inf, 32 * 20),
            ("unordered", 1, 8 * 20),
            ("unordered", 3, 24 * 20),
            ("unordered", inf, 32 * 20),
        ],
    )
    def test_of_a_partition_are_places_over_seconds(
        self, ordering: Ordering, customers: float, per_s: float
    ) -> None:
        found = partition_per_s(ordering, WORK, BOUNDS, customers=customers)

        assert found == pytest.approx(per_s)

    @pytest.mark.parametrize("ordering", ["partition", "customer", "unordered"])
    def test_end_where_the_cpu_does(self, ordering: Ordering) -> None:
        work = Work(latency_s=0.0, cpu_s=0.0004)

        assert partition_per_s(ordering, work, BOUNDS) == pytest.approx(2500)

    def test_end_where_there_are_no_connections_left(self) -> None:
        assert process_per_s(Work(latency_s=2.0, cpu_s=0.0004), BOUNDS) == pytest.approx(500)

    def test_of_a_small_window_are_the_window_s(self) -> None:
        assert partition_per_s("customer", WORK, replace(BOUNDS, window=4)) == pytest.approx(80)

    def test_of_nothing_to_do_have_no_end(self) -> None:
        assert partition_per_s("unordered", Work(latency_s=0.0, cpu_s=0.0), BOUNDS) == inf

    def test_count_backoff_for_the_line_but_not_for_the_wire(self) -> None:
        work = replace(WORK, attempts=2, backoff_s=0.9)

        assert customer_per_s("customer", work, BOUNDS) == pytest.approx(1)
        assert customer_per_s("unordered", work, BOUNDS) == pytest.approx(80)
        assert process_per_s(work, BOUNDS) == pytest.approx(1250)

    def test_of_a_deployment_end_where_its_processes_do(self) -> None:
        model = Model(partitions=300, workers=2, customers=300, latency_s=0.0496, cpu_s=0.0004)

        assert deployment_per_s(model) == pytest.approx(5000)
        assert deployment_per_s(replace(model, workers=9)) == pytest.approx(6000)
        assert deployment_per_s(replace(model, customers=4)) == pytest.approx(80)

    def test_of_failing_receivers_have_the_mean_of_attempts_and_waits(self) -> None:
        model = Model(failing=0.5, backoff=Backoff(base_s=1, factor=2, max_attempts=3))

        work = work_of(model)

        assert work.attempts == pytest.approx(1 + 0.5 + 0.25)
        assert work.backoff_s == pytest.approx(0.5 * 1 + 0.25 * 2)

    @pytest.mark.parametrize("customers", [6, 60, 600])
    @pytest.mark.parametrize("ordering", ["partition", "customer", "unordered"])
    def test_are_never_less_than_what_is_simulated(
        self, ordering: Ordering, customers: int
    ) -> None:
        # Where bounds are close to each other, or customers are hashed, it is less.
        model = Model(ordering=ordering, customers=customers, cpu_s=0.002)

        assert drain(model, events=1000).pace.per_s <= deployment_per_s(model) * 1.01


class TestNeeds:
    def test_are_lines_with_headroom(self) -> None:
        by_partition = replace(A_THOUSAND, ordering="partition")

        assert (partitions_needed(by_partition), customers_needed(by_partition)) == (100, 100)
        assert (partitions_needed(A_THOUSAND), customers_needed(A_THOUSAND)) == (4, 100)

    def test_are_processes_by_their_cpu(self) -> None:
        assert workers_needed(A_THOUSAND) == 1
        assert workers_needed(replace(A_THOUSAND, per_s=12_500)) == 10

    def test_give_each_process_as_many_partitions(self) -> None:
        demand = replace(A_THOUSAND, per_s=12_500)

        # 40 would do, of 640 a second each; for 39.06 there are 10 processes.
        assert partitions_needed(demand) == 40
        assert partitions_needed(replace(demand, per_s=13_750)) == 44

    def test_are_at_least_one_of_each(self) -> None:
        plan = plan_for(replace(A_THOUSAND, per_s=0.001))

        assert (plan.partitions, plan.workers, plan.customers) == (1, 1, 1)
        assert (plan.clusters, plan.brokers) == (1, 3)

    @pytest.mark.parametrize("ordering", ["partition", "customer", "unordered"])
    def test_that_are_met_keep_up(self, ordering: Ordering) -> None:
        demand = Demand(per_s=1000, ordering=ordering, work=Work(latency_s=0.05))
        plan = plan_for(demand)
        model = Model(
            partitions=plan.partitions,
            workers=plan.workers,
            customers=plan.customers,
            ordering=ordering,
            placing="even",
        )

        waits = open_loop(model, per_s=1000, events=5000)

        assert waits.p50_s < 3 * 0.05
        assert waits.left < 3 * plan.on_the_wire


class TestBytes:
    @pytest.mark.parametrize("kind", ["rsa-2048", "p256", "x25519"])
    def test_of_a_body_are_those_that_are_sealed(self, kind: KeyKind) -> None:
        key = load_public_key(orjson.dumps(parse_public_key(generate_private_key(kind)[1]).jwk))

        assert sealed_bytes(EVENT_BYTES, kind) == pytest.approx(body_bytes(key), rel=0.01)

    def test_of_an_attempt_s_record_are_those_that_are_encoded(self) -> None:
        record = AttemptRecord(
            at=1_764_000_000.123,
            customer_id="customer-1234",
            event_id=f"evt_{'x' * 32}",
            event_type="order.paid",
            endpoint_id=f"ep_{'x' * 16}",
            attempt=1,
            attempt_max=5,
            code="accepted",
            status=200,
            duration_s=0.0523,
            kid="x" * 43,
            partition=123,
            offset=1_234_567_890,
            worker="hookseal-worker-12.cluster:12345",
        )

        assert len(encode(record)) == pytest.approx(LOG_RECORD_BYTES, rel=0.05)

    def test_on_kafka_are_events_attempts_and_offsets_with_their_copies(self) -> None:
        demand = replace(A_THOUSAND, work=replace(WORK, attempts=2))

        traffic = traffic_of(demand, Assumptions(event_bytes=950), partitions=4)

        assert traffic.produced == 1000 * 1000 + 2000 * 430 + 4 * 20 * 200
        assert traffic.stored == 3 * traffic.produced
        assert traffic.read == 1000 * 1000 + 2000 * 430
        assert traffic.sent == traffic.read + 2 * traffic.produced

    def test_on_the_way_out_are_body_and_headers_of_each_attempt(self) -> None:
        traffic = traffic_of(A_THOUSAND, Assumptions(), partitions=4)

        assert traffic.egress == 1000 * (sealed_bytes(1024, "rsa-2048") + 500)


class TestBrokers:
    def test_are_as_many_as_there_are_copies(self) -> None:
        assert brokers_needed(1000, 6) == 3
        assert brokers_needed(1000, 6, copies=1) == 1

    def test_are_as_many_as_the_bytes_need(self) -> None:
        assert brokers_needed(501e6, 6) == 11

    def test_are_as_many_as_the_partitions_of_all_topics_need(self) -> None:
        assert TOPICS == 6
        assert brokers_needed(1000, 4000) == 18

    def test_are_in_several_clusters_where_one_is_too_small(self) -> None:
        assert clusters_needed(11_111) == 1
        assert clusters_needed(11_112) == 2


class TestTable:
    def test_has_a_row_for_each_rate_latency_and_order(self) -> None:
        rows = table_rows(demands(), Prices(vcpu_hour=0.04))

        assert len(rows) == 4 * 2 * 3
        assert all(len(row) == len(COLUMNS) for row in rows)
        assert rows[0][:3] == (1000, 50, "partition")
        assert rows[-1][:3] == (1_000_000, 200, "unordered")

    def test_rows_are_what_is_planned(self) -> None:
        asked = demands(
            cpu_s=0.0004,
            utilisation=0.5,
            bounds=BOUNDS,
            rates_per_s=[1000],
            latencies_s=[0.0496],
            orderings=["customer"],
        )

        (row,) = table_rows(asked, Prices(vcpu_hour=3.6, egress_gb=1))

        assert row[:9] == (1000, 50, "customer", 4, 1, 100, 50, 1, 3)
        assert row[-3:-1] == (20, 1)

    def test_for_programs_is_not_rounded(self) -> None:
        (figures,) = plan_figures([A_THOUSAND], Prices(vcpu_hour=3.6))

        assert (figures["per_s"], figures["work"]["latency_s"]) == (1000, 0.0496)
        assert (figures["partitions"], figures["per_million"]["machines"]) == (4, 1)

    def test_a_million_costs_what_its_seconds_cost(self) -> None:
        plan = plan_for(A_THOUSAND)

        # One vCPU, three brokers of eight, and 2.567 GB, for 1000 seconds.
        with_kafka = cost_per_million(A_THOUSAND, plan, Prices(3.6, broker_vcpus=8))
        assert cost_per_million(A_THOUSAND, plan, Prices(3.6)) == pytest.approx((1, 0))
        assert with_kafka.machines == pytest.approx(25)
        assert cost_per_million(A_THOUSAND, plan, Prices(0, egress_gb=1)) == pytest.approx(
            (0, 2.569), rel=0.01
        )

    def test_commits_come_from_each_worker_by_its_interval(self) -> None:
        demand = replace(A_THOUSAND, per_s=12_500)

        assert plan_for(demand).commits_per_s == 10 * 20
        assert plan_for(demand, Assumptions(commit_interval_s=0.5)).commits_per_s == 10 * 2
