"""What so many webhooks a second need, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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
from hookseal.bench.sim_model import CPU_S, Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.delivery.lanes.turns import Ordering

__all__ = [
    "COLUMNS",
    "LATENCIES_S",
    "ORDERINGS",
    "RATES_PER_S",
    "Plan",
    "Prices",
    "cost_per_million",
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
    "Kafka in MB/s",
    "Kafka out MB/s",
    "egress MB/s",
    "per million",
)

_MB = 1_000_000
_GB = 1_000_000_000
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, in any currency.

    Attributes:
        vcpu_hour: One vCPU for an hour.
        egress_gb: 10^9 bytes out of the provider's network.
        broker_vcpus: vCPUs of a broker; 0 = Kafka is paid for elsewhere.
    """

    vcpu_hour: float
    egress_gb: float = 0.0
    broker_vcpus: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a demand needs.

    Attributes:
        partitions: Of each topic.
        workers: Processes, one vCPU each.
        customers: That there must be at least, with as many events as the next.
        on_the_wire: Mean attempts under way, in all.
        clusters: Kafka clusters; with more than one the customers are shared out among as
            many deployments.
        brokers: In all clusters.
        traffic: Bytes a second.
        commits_per_s: Requests a second to the one broker that coordinates the group.
    """

    partitions: int
    workers: int
    customers: int
    on_the_wire: float
    clusters: int
    brokers: int
    traffic: Traffic
    commits_per_s: float


def plan_for(demand: Demand, assumed: Assumptions | None = None) -> Plan:
    """Return what a demand needs."""
    assumed = assumed or Assumptions()
    partitions, workers = partitions_needed(demand), workers_needed(demand)
    traffic = traffic_of(demand, assumed, partitions=partitions)
    return Plan(
        partitions=partitions,
        workers=workers,
        customers=customers_needed(demand),
        on_the_wire=demand.per_s * demand.work.wire_s,
        clusters=clusters_needed(partitions, copies=assumed.copies),
        brokers=brokers_needed(traffic.produced, partitions, copies=assumed.copies),
        traffic=traffic,
        commits_per_s=commits_per_s(demand, assumed, workers=workers),
    )


def cost_per_million(demand: Demand, plan: Plan, prices: Prices) -> float:
    """Return what a million webhooks cost, the idle part of the machines included.

    Disks, copies between zones, the API and people are not in it.
    """
    vcpus = plan.workers + plan.brokers * prices.broker_vcpus
    machines_per_s = vcpus * prices.vcpu_hour / _HOUR_S
    egress_per_s = plan.traffic.egress / _GB * prices.egress_gb
    return (machines_per_s + egress_per_s) / demand.per_s * 1e6


def table_rows(
    prices: Prices,
    *,
    cpu_s: float = CPU_S,
    utilisation: float = UTILISATION,
    bounds: Bounds | None = None,
    assumed: Assumptions | None = None,
    rates_per_s: Sequence[float] = RATES_PER_S,
    latencies_s: Sequence[float] = LATENCIES_S,
    orderings: Sequence[Ordering] = ORDERINGS,
) -> list[tuple[object, ...]]:
    """Return a row of `COLUMNS` for each rate, latency and order, in this order.

    Args:
        prices: What things cost.
        cpu_s: CPU seconds of an attempt.
        utilisation: Share of what could be carried that is planned with, in (0, 1].
        bounds: How much may be under way; the settings' defaults when None.
        assumed: Sizes, and who reads.
        rates_per_s: Webhooks a second.
        latencies_s: Mean seconds from the request to the end of its answer.
        orderings: Who waits for whom.
    """
    return [
        _row(
            Demand(
                per_s=per_s,
                ordering=ordering,
                work=Work(latency_s=latency_s, cpu_s=cpu_s),
                bounds=bounds or Bounds(),
                utilisation=utilisation,
            ),
            assumed,
            prices,
        )
        for per_s in rates_per_s
        for latency_s in latencies_s
        for ordering in orderings
    ]


def _row(demand: Demand, assumed: Assumptions | None, prices: Prices) -> tuple[object, ...]:
    plan = plan_for(demand, assumed)
    traffic = plan.traffic
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
        round(traffic.produced / _MB, 1),
        round(traffic.sent / _MB, 1),
        round(traffic.egress / _MB, 1),
        round(cost_per_million(demand, plan, prices), 4),
    )
