"""How many webhooks a deployment carries, and what so many need: formulas, no measurement.

Little's law is all there is to it: what holds a place for `s` seconds leaves it `1/s` times a
second. Places are lines, room on the wire, connections and CPUs. Each formula is an upper
bound that `hookseal.bench.simulation` comes up to where one bound is well below the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf
from typing import TYPE_CHECKING, Final

from hookseal.bench.sim_model import CPU_S, Bounds

if TYPE_CHECKING:
    from hookseal.bench.sim_model import Model
    from hookseal.delivery.lanes.turns import Ordering

__all__ = [
    "UTILISATION",
    "Demand",
    "Work",
    "customer_per_s",
    "customers_needed",
    "deployment_per_s",
    "partition_per_s",
    "partitions_needed",
    "process_per_s",
    "work_of",
    "workers_needed",
]

UTILISATION: Final = 0.6
"""Share of what could be carried that is planned with; the rest is for peaks and catching up."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a webhook takes.

    Attributes:
        latency_s: Mean seconds from the request to the end of its answer.
        cpu_s: CPU seconds of an attempt.
        attempts: Mean attempts of a webhook, >= 1.
        backoff_s: Mean seconds of a webhook between its attempts.
    """

    latency_s: float
    cpu_s: float = CPU_S
    attempts: float = 1.0
    backoff_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds for which it has a CPU."""
        return self.attempts * self.cpu_s

    @property
    def wire_s(self) -> float:
        """Seconds for which it takes room on the wire."""
        return self.attempts * (self.cpu_s + self.latency_s)

    @property
    def held_s(self) -> float:
        """Seconds for which it holds its line, and a place in the window."""
        return self.wire_s + self.backoff_s


def work_of(model: Model) -> Work:
    """Return the work of a webhook in the simulation: the n-th attempt is made if n - 1 failed."""
    reached = [model.failing**number for number in range(model.backoff.attempts)]
    return Work(
        latency_s=model.latency_s,
        cpu_s=model.cpu_s,
        attempts=sum(reached),
        # The jitter is as often longer as it is shorter.
        backoff_s=sum(
            share * model.backoff.delay_after(number, draw=0.5)
            for number, share in enumerate(reached[1:], start=1)
        ),
    )


def customer_per_s(ordering: Ordering, work: Work, bounds: Bounds) -> float:
    """Return the webhooks a second of one customer, whatever else there is.

    One after the other: 1 / held. Unordered: `each` / wire.
    """
    if ordering == "unordered":
        return _per_s(min(bounds.each, bounds.at_a_time), work.wire_s)
    return _per_s(1, work.held_s)


def partition_per_s(
    ordering: Ordering, work: Work, bounds: Bounds, *, customers: float = inf
) -> float:
    """Return the webhooks a second of one partition that has a process to itself.

    - `partition`: 1 / held.
    - `customer`: customers / held, as far as there is room for them: the window / held,
      at a time / wire.
    - `unordered`: the same, with each customer's share of the room for its line.

    In each order no more than the process does.

    Args:
        ordering: Who waits for whom.
        work: What a webhook takes.
        bounds: How much may be under way.
        customers: Of the partition, with events that wait.
    """
    process = process_per_s(work, bounds)
    if ordering == "partition":
        return min(_per_s(1, work.held_s), process)
    return min(
        customers * customer_per_s(ordering, work, bounds),
        _per_s(bounds.window, work.held_s),
        _per_s(bounds.at_a_time, work.wire_s),
        process,
    )


def process_per_s(work: Work, bounds: Bounds) -> float:
    """Return the webhooks a second of one process: 1 / busy, connections / latency."""
    return min(
        _per_s(1, work.busy_s),
        _per_s(bounds.connections, work.attempts * work.latency_s),
    )


def deployment_per_s(model: Model) -> float:
    """Return the webhooks a second of a deployment whose customers are spread evenly."""
    work = work_of(model)
    # What is beyond the number of customers, or of partitions, has nothing to do.
    partitions = min(model.partitions, model.customers)
    workers = min(model.workers, partitions)
    partition = partition_per_s(
        model.ordering, work, model.bounds, customers=model.customers / partitions
    )
    return min(partitions * partition, workers * process_per_s(work, model.bounds))


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a deployment.

    Attributes:
        per_s: Webhooks a second, > 0.
        ordering: Who waits for whom.
        work: What a webhook takes.
        bounds: How much may be under way.
        utilisation: Share of what could be carried that is planned with, in (0, 1].
    """

    per_s: float
    ordering: Ordering
    work: Work
    bounds: Bounds = field(default_factory=Bounds)
    utilisation: float = UTILISATION

    @property
    def to_carry_per_s(self) -> float:
        """Webhooks a second that the deployment could carry at most, headroom included."""
        return self.per_s / self.utilisation


def workers_needed(demand: Demand) -> int:
    """Return the number of processes, one vCPU each."""
    return _ceil(demand.to_carry_per_s / process_per_s(demand.work, demand.bounds))


def partitions_needed(demand: Demand) -> int:
    """Return the number of partitions, if there are customers enough.

    A multiple of the processes, so that each has as many as the next.
    """
    most = partition_per_s(demand.ordering, demand.work, demand.bounds)
    workers = workers_needed(demand)
    return workers * _ceil(_ceil(demand.to_carry_per_s / most) / workers)


def customers_needed(demand: Demand) -> int:
    """Return how many customers there must be, with as many events as the next.

    With fewer no number of partitions helps: a customer is on one partition, and its events
    take their turns there.
    """
    most = customer_per_s(demand.ordering, demand.work, demand.bounds)
    return _ceil(demand.to_carry_per_s / most)


def _per_s(places: float, each_s: float) -> float:
    return places / each_s if each_s else inf


def _ceil(number: float) -> int:
    # Without the last digits: 3.0000000000000004 are three.
    return max(1, ceil(round(number, 9)))
