"""What formulas say in `docs/capacity.md`: the text between its marks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hookseal.bench.capacity import (
    UTILISATION,
    Demand,
    Work,
    customer_per_s,
    partition_per_s,
    process_per_s,
)
from hookseal.bench.capacity_bytes import Assumptions, commits_per_s
from hookseal.bench.capacity_cost import Prices, cost_per_million
from hookseal.bench.capacity_table import LATENCIES_S, ORDERINGS, demands, plan_for
from hookseal.bench.sim_model import CPU_S, Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PRICES", "example", "markdown", "plan", "rates", "side_by_side"]

PRICES: Final = Prices(vcpu_hour=0.04, egress_gb=0.08)
"""Examples, of the kind that large providers had in 2025."""

_MB = 1_000_000


def markdown(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def rates() -> str:
    """Return what one customer, partition and process do."""
    bounds = Bounds()
    rows = []
    for latency_s in LATENCIES_S:
        work = Work(latency_s)
        for ordering in ORDERINGS:
            customer = customer_per_s(ordering, work, bounds)
            partition = partition_per_s(ordering, work, bounds)
            process = process_per_s(work, bounds)
            found = [f"{per_s:,.0f}" for per_s in (customer, partition, process)]
            rows.append((f"{latency_s * 1000:.0f} ms", f"`{ordering}`", *found))
    columns = ("latency", "order", "a customer", "a partition", "a process")
    return (
        f"Webhooks a second at most, with {CPU_S * 1e6:.0f} us of CPU each:\n\n"
        f"{markdown(columns, rows)}"
    )


def plan() -> str:
    """Return what each rate needs."""
    assumed = Assumptions()
    columns = (
        *("webhooks/s", "latency", "order", "partitions", "workers", "customers, at least"),
        *("brokers", "deployments", "Kafka in MB/s", "Kafka out MB/s", "egress MB/s"),
        *("workers, a million", "egress, a million"),
    )
    return (
        f"CPU of a webhook: {CPU_S * 1e6:.0f} us. Planned with {UTILISATION:.0%} of what can be "
        f"carried. Events of {assumed.event_bytes:,} bytes to RSA-2048 keys, {assumed.copies} "
        f"copies on Kafka. Prices, for example: {PRICES.vcpu_hour:.2f} a vCPU and hour, "
        f"{PRICES.egress_gb:.2f} a GB sent out.\n\n"
        f"{markdown(columns, [_plan_row(demand) for demand in demands()])}"
    )


def _plan_row(demand: Demand) -> tuple[object, ...]:
    found = plan_for(demand)
    cost = cost_per_million(demand, found, PRICES)
    return (
        round(demand.per_s),
        f"{demand.work.latency_s * 1000:.0f} ms",
        f"`{demand.ordering}`",
        found.partitions,
        found.workers,
        found.customers,
        found.brokers,
        found.deployments,
        f"{found.traffic.produced / _MB:,.1f}",
        f"{found.traffic.sent / _MB:,.1f}",
        f"{found.traffic.egress / _MB:,.1f}",
        f"{cost.machines:.3f}",
        f"{cost.egress:.3f}",
    )


def side_by_side() -> str:
    """Return what one of several deployments has, at a million a second."""
    rows = []
    for deployments in (1, 4, 16):
        demand = Demand(1_000_000 / deployments, "customer", Work(LATENCIES_S[0]))
        found = plan_for(demand)
        quick, slow = (
            commits_per_s(demand, Assumptions(commit_interval_s=s), workers=found.workers)
            for s in (0.05, 0.5)
        )
        each = (round(demand.per_s), found.workers, found.partitions)
        rows.append((deployments, *each, round(quick), round(slow)))
    columns = (
        *("deployments", "webhooks/s each", "workers each", "partitions each"),
        *("commits/s each, every 0.05 s", "every 0.5 s"),
    )
    return markdown(columns, rows)


def example() -> str:
    """Return the steps from what is asked to what is deployed."""
    work = Work(latency_s=0.12)
    demand = Demand(per_s=5000, ordering="customer", work=work)
    found = plan_for(demand)
    lines = plan_for(replace(demand, ordering="partition"))
    line_per_s = customer_per_s("customer", work, demand.bounds)
    partition_s = partition_per_s("customer", work, demand.bounds)
    process_s = process_per_s(work, demand.bounds)
    traffic, cost = found.traffic, cost_per_million(demand, found, PRICES)
    steps = (
        f"""A line carries 1 / (0.12 + {work.cpu_s:.6f}) = {line_per_s:.1f} a second. The biggest
customer has 5 a second at the peak: {5 / line_per_s:.0%} of its line.""",
        f"""To be carried, headroom included: 5,000 / {demand.utilisation} =
{demand.to_carry_per_s:,.0f} a second. That takes {found.customers:,} lines; there are 3,000
customers.""",
        f"""In the order `partition` a line is a partition: {lines.partitions:,} of them, on
{lines.brokers} brokers. In the order `customer` a partition carries
{demand.bounds.at_a_time} / {work.wire_s:.6f} = {partition_s:,.0f} a second, and {found.partitions}
will do.""",
        f"""A process carries 1 / {work.cpu_s:.6f} = {process_s:,.0f} a second: {found.workers}
workers, {found.partitions // found.workers} partitions each.""",
        f"""{found.brokers} brokers take {traffic.produced / _MB:.1f} MB/s in and send
{traffic.sent / _MB:.1f} MB/s; workers send {traffic.egress / _MB:.1f} MB/s to endpoints.""",
        f"""A million webhooks at that rate: {cost.machines:.3f} for workers, {cost.egress:.3f} for
egress.""",
    )
    # Line breaks are the source's, not the page's.
    return "\n".join(f"{number}. {' '.join(step.split())}" for number, step in enumerate(steps, 1))
