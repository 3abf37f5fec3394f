"""What so many webhooks a second need, row by row."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from hookseal.bench.capacity import (
    UTILISATION,
    Demand,
    Work,
    customers_needed,
    partitions_needed,
    workers_needed,
)
from hookseal.bench.capacity_bytes import (
    Assumptions,
    Traffic,
    brokers_needed,
    clusters_needed,
    commits_per_s,
    traffic_of,
)
from hookseal.bench.capacity_cost import cost_per_million
from hookseal.bench.sim_model import CPU_S, Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.bench.capacity_cost import Prices
    from hookseal.delivery.lanes.turns import Ordering

__all__ = [
    "COLUMNS",
    "LATENCIES_S",
    "ORDERINGS",
    "PARTITIONS_MAX",
    "RATES_PER_S",
    "Plan",
    "demands",
    "plan_figures",
    "plan_for",
    "table_rows",
]

RATES_PER_S: Final = (1_000, 10_000, 100_000, 1_000_000)
LATENCIES_S: Final = (0.05, 0.2)
ORDERINGS: Final[tuple[Ordering, ...]] = ("partition", "customer", "unordered")

COLUMNS: Final = (
    "webhooks per s",
    "latency ms",
    "order",
    "partitions",
    "workers",
    "customers",
    "on the wire",
    "clusters",
    "brokers",
    "deployments",
    "Kafka in MB/s",
    "Kafka out MB/s",
    "egress MB/s",
    "commits per s",
    "machines, a million",
    "egress, a million",
)

PARTITIONS_MAX: Final = 10_000
"""The most that `HOOKSEAL_PARTITIONS` takes."""

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand needs.

    Attributes:
        partitions: Of each topic.
        workers: Processes, one vCPU each.
        customers: That there must be at least, with as many events as the next.
        on_the_wire: Mean attempts under way, in all.
        clusters: Kafka clusters.
        brokers: In all clusters.
        deployments: Side by side, each with its share of the customers: one a cluster, and as
            many as `PARTITIONS_MAX` asks for.
        traffic: Bytes a second.
        commits_per_s: Requests a second to the one broker that coordinates the group.
    """

    partitions: int
    workers: int
    customers: int
    on_the_wire: float
    clusters: int
    brokers: int
    deployments: int
    traffic: Traffic
    commits_per_s: float


def plan_for(demand: Demand, assumed: Assumptions | None = None) -> Plan:
    """Return what a demand needs."""
    assumed = assumed or Assumptions()
    partitions, workers = partitions_needed(demand), workers_needed(demand)
    traffic = traffic_of(demand, assumed, partitions=partitions)
    clusters = clusters_needed(partitions, copies=assumed.copies)
    return Plan(
        partitions=partitions,
        workers=workers,
        customers=customers_needed(demand),
        on_the_wire=demand.per_s * demand.work.wire_s,
        clusters=clusters,
        brokers=brokers_needed(traffic.produced, partitions, copies=assumed.copies),
        deployments=max(clusters, ceil(partitions / PARTITIONS_MAX)),
        traffic=traffic,
        commits_per_s=commits_per_s(demand, assumed, workers=workers),
    )


def demands(
    *,
    cpu_s: float = CPU_S,
    utilisation: float = UTILISATION,
    bounds: Bounds | None = None,
    rates_per_s: Sequence[float] = RATES_PER_S,
    latencies_s: Sequence[float] = LATENCIES_S,
    orderings: Sequence[Ordering] = ORDERINGS,
) -> list[Demand]:
    """Return a demand for each rate, latency and order, in this order.

    Args:
        cpu_s: CPU seconds of an attempt.
        utilisation: Share of what could be carried that is planned with, in (0, 1].
        bounds: How much may be under way; the settings' defaults when None.
        rates_per_s: Webhooks a second.
        latencies_s: Mean seconds from the request to the end of its answer.
        orderings: Who waits for whom.
    """
    return [
        Demand(
            per_s=per_s,
            ordering=ordering,
            work=Work(latency_s=latency_s, cpu_s=cpu_s),
            bounds=bounds or Bounds(),
            utilisation=utilisation,
        )
        for per_s in rates_per_s
        for latency_s in latencies_s
        for ordering in orderings
    ]


def table_rows(
    asked: Sequence[Demand], prices: Prices, assumed: Assumptions | None = None
) -> list[tuple[object, ...]]:
    """Return a row of `COLUMNS` for each demand."""
    return [_row(demand, plan_for(demand, assumed), prices) for demand in asked]


def plan_figures(
    asked: Sequence[Demand], prices: Prices, assumed: Assumptions | None = None
) -> list[dict[str, Any]]:
    """Return the same for programs, not rounded: seconds, bytes."""
    figures = []
    for demand in asked:
        plan = plan_for(demand, assumed)
        cost = cost_per_million(demand, plan, prices)
        figures.append({**asdict(demand), **asdict(plan), "per_million": cost._asdict()})
    return figures


def _row(demand: Demand, plan: Plan, prices: Prices) -> tuple[object, ...]:
    traffic = plan.traffic
    cost = cost_per_million(demand, plan, prices)
    return (
        round(demand.per_s),
        round(demand.work.latency_s * 1000),
        demand.ordering,
        plan.partitions,
        plan.workers,
        plan.customers,
        round(plan.on_the_wire),
        plan.clusters,
        plan.brokers,
        plan.deployments,
        round(traffic.produced / _MB, 1),
        round(traffic.sent / _MB, 1),
        round(traffic.egress / _MB, 1),
        round(plan.commits_per_s),
        round(cost.machines, 3),
        round(cost.egress, 3),
    )
