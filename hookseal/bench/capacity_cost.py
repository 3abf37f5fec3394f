"""What a million webhooks cost, given prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hookseal.bench.capacity import Demand
    from hookseal.bench.capacity_table import Plan

__all__ = ["Cost", "Prices", "cost_per_million"]

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


class Cost(NamedTuple):
    """What a million webhooks cost.

    Attributes:
        machines: The vCPUs, idle ones included.
        egress: Bytes out of the provider's network.
    """

    machines: float
    egress: float


def cost_per_million(demand: Demand, plan: Plan, prices: Prices) -> Cost:
    """Return what a million webhooks cost.

    Disks, copies between zones, the API and people are not in it.
    """
    vcpus = plan.workers + plan.brokers * prices.broker_vcpus
    # A million takes so long; the rate is the same all the time.
    million_s = 1e6 / demand.per_s
    return Cost(
        machines=vcpus * prices.vcpu_hour / _HOUR_S * million_s,
        egress=plan.traffic.egress / _GB * prices.egress_gb * million_s,
    )
