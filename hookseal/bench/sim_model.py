"""What is simulated: the deployment, its receivers, and one event's way through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from hookseal.config import Settings
from hookseal.domain.backoff import Backoff
from hookseal.kafka.partitioner import partition_of
from hookseal.outbound.client import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from hookseal.delivery.lanes.turns import Ordering

__all__ = ["CPU_S", "Bounds", "Journey", "Model", "bounds_of"]

CPU_S: Final = 300e-6
"""CPU seconds of a webhook; `hookseal bench` tells yours.

With another one, `hookseal bench simulate --plan --markdown docs/capacity.md` renews the page."""


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be under way; none of it but `connections` counts in the order `partition`.

    Attributes:
        window: Events of a partition taken and not finished, `HOOKSEAL_BUFFER_EVENTS`.
        waiting: Events of one line behind the one in hand, `HOOKSEAL_LANE_LIMIT`.
        at_a_time: Attempts of a partition on the wire together, `HOOKSEAL_MAX_IN_FLIGHT`.
        each: Of these, one customer's, `HOOKSEAL_MAX_IN_FLIGHT_PER_CUSTOMER`.
        connections: Sockets of one process; not a setting.
    """

    window: int = _default("buffer_events")
    waiting: int = _default("lane_limit")
    at_a_time: int = _default("max_in_flight")
    each: int = _default("max_in_flight_per_customer")
    connections: int = CONNECTIONS


def bounds_of(settings: Settings) -> Bounds:
    """Return the bounds that a worker with these settings keeps."""
    return Bounds(
        window=settings.buffer_events,
        waiting=settings.lane_limit,
        at_a_time=settings.max_in_flight,
        each=settings.max_in_flight_per_customer,
    )


@dataclass(frozen=True, slots=True)
class Model:
    """A deployment and its receivers; each event has one endpoint.

    Attributes:
        partitions: Of the topic `events`, at least 1.
        workers: Processes, at least 1; each has one CPU and every `workers`-th partition.
        customers: At least 1; each event is one of theirs, drawn uniformly.
        ordering: Who waits for whom.
        latency_s: Mean seconds from the request to the end of its answer.
        cpu_s: CPU seconds of one attempt, from the record that is read to the commit.
        bounds: How much may be under way.
        spread: Draws what one answer's latency is times the mean; its own mean must be 1.
            Without it all answers take the same.
        failing: Share of attempts that fail, in [0, 1).
        backoff: The schedule after a failed attempt.
        placing: `hashed` puts customers on partitions as Kafka does, `even` in turns.
    """

    partitions: int = 6
    workers: int = 1
    customers: int = 24
    ordering: Ordering = "partition"
    latency_s: float = 0.05
    cpu_s: float = CPU_S
    bounds: Bounds = field(default_factory=Bounds)
    spread: Callable[[Random], float] | None = None
    failing: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    placing: Literal["hashed", "even"] = "hashed"

    def __post_init__(self) -> None:
        if min(self.partitions, self.workers, self.customers) < 1:
            raise ValueError("there is at least one partition, one worker and one customer")
        if min(self.latency_s, self.cpu_s) < 0 or not 0 <= self.failing < 1:
            raise ValueError("seconds are not negative, and not every attempt fails")

    def home_of(self, customer: int) -> int:
        """Return a customer's partition, both counted from 0."""
        if self.placing == "even":
            return customer % self.partitions
        return partition_of(f"customer-{customer}", self.partitions)


@dataclass(slots=True)
class Journey:
    """One event's way; filled in as it goes.

    Attributes:
        number: Counted from 0, in the order of the log.
        customer: Whose, counted from 0.
        partition: Where it stands, counted from 0.
        due_s: Seconds from the start at which it is published.
        began_s: At which its first attempt began.
        done_s: At which it was accepted or dead-lettered.
        attempts: So far.
        accepted: Whether an attempt was.
    """

    number: int
    customer: int
    partition: int
    due_s: float
    began_s: float = 0.0
    done_s: float = 0.0
    attempts: int = 0
    accepted: bool = False
