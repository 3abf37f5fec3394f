"""What a load needs in workers, partitions, customers and brokers: formula of docs/capacity.md.

Little's law: what is occupied for `s` seconds serves `1/s` webhooks a second. Four things are
occupied: an ordering key, a slot for an attempt in progress, a slot for an event in progress, and
a CPU. `benchmarks.simulation` checks the formula on the real scheduler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf
from typing import TYPE_CHECKING, Any, Final

from hookseal.config import Settings
from hookseal.kafka.topics import TopicNames
from hookseal.outbound.client import CONNECTIONS

if TYPE_CHECKING:
    from hookseal.domain.endpoint import Ordering

# CPU seconds of one webhook; `python -m benchmarks` measures yours.
CPU_S: Final = 300e-6
# Share of the maximum throughput to plan with; the rest is for peaks and for catching up.
UTILISATION: Final = 0.6
COPIES: Final = 3

# Assumptions, not measurements. Bytes a second that producers write to one broker before
# replication, and replicas on a broker of 16 vCPUs or more (Amazon MSK Developer Guide, "Best
# practices").
BROKER_BYTES_PER_S: Final = 50_000_000
BROKER_REPLICAS: Final = 4000
_TOPICS = len(TopicNames().configs())
# Bytes that a record adds to its value; an attempt on `deliveries` as JSON (counted); a commit.
_RECORD_BYTES, _LOG_BYTES, _COMMIT_BYTES = 50, 380, 200
# The plaintext adds 85 bytes to an event, base64url a third, the JWE of an RSA-2048 key 590
# (all counted); request line, headers, TLS and TCP some 500.
_ENVELOPE_BYTES, _JWE_BYTES, _HTTP_BYTES = 85, 590, 500


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a worker. In the ordering mode `partition` only `connections` applies."""

    # Events in progress of a partition, `HOOKSEAL_MAX_IN_PROGRESS`.
    events: int = _default("max_in_progress")
    # Events queued behind the first of an ordering key, `HOOKSEAL_MAX_QUEUED_PER_KEY`.
    queued: int = _default("max_queued_per_key")
    # Attempts in progress of a partition, `HOOKSEAL_MAX_IN_FLIGHT`.
    attempts: int = _default("max_in_flight")
    # Of these, attempts of one customer, `HOOKSEAL_MAX_IN_FLIGHT_PER_CUSTOMER`.
    each: int = _default("max_in_flight_per_customer")
    connections: int = CONNECTIONS  # Sockets of one process; not a setting


def bounds_of(settings: Settings) -> Bounds:
    """Return the limits of a worker with these settings."""
    return Bounds(
        events=settings.max_in_progress,
        queued=settings.max_queued_per_key,
        attempts=settings.max_in_flight,
        each=settings.max_in_flight_per_customer,
    )


@dataclass(frozen=True, slots=True)
class Load:
    """What one webhook takes, and under which limits."""

    ordering: Ordering  # The ordering mode
    latency_s: float  # Mean seconds from the request to the end of its response
    cpu_s: float = CPU_S  # CPU seconds, from the fetched record to the commit
    bounds: Bounds = field(default_factory=Bounds)  # Limits of the worker

    @property
    def held_s(self) -> float:
        """Seconds for which a webhook occupies its ordering key and its slots."""
        return self.latency_s + self.cpu_s

    @property
    def customer_per_s(self) -> float:
        """Most webhooks a second of one customer."""
        bounds = self.bounds
        at_once = min(bounds.each, bounds.attempts) if self.ordering == "unordered" else 1
        return _per_s(at_once, self.held_s)

    @property
    def process_per_s(self) -> float:
        """Most webhooks a second of one worker process with a CPU of its own."""
        return min(_per_s(1, self.cpu_s), _per_s(self.bounds.connections, self.latency_s))

    @property
    def partition_per_s(self) -> float:
        """Most webhooks a second of one partition with many customers."""
        bounds = self.bounds
        at_once = 1 if self.ordering == "partition" else min(bounds.attempts, bounds.events)
        return min(_per_s(at_once, self.held_s), self.process_per_s)


def deployment_per_s(load: Load, *, partitions: int, workers: int, customers: int) -> float:
    """Return the most webhooks a second of customers that are evenly spread over partitions."""
    # A partition without a customer and a worker without a partition do nothing.
    partitions = min(partitions, customers)
    of_customers = customers * load.customer_per_s if load.ordering != "partition" else inf
    return min(
        of_customers,
        partitions * load.partition_per_s,
        min(workers, partitions) * load.process_per_s,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs."""

    workers: int  # Processes, one vCPU each
    partitions: int  # A multiple of `workers`, so that each worker gets equally many
    customers: int  # The fewest, with equally many events each
    brokers: int  # With three copies of each partition
    kafka_in: float  # Bytes a second that clients write: events, the delivery log, offsets
    kafka_out: float  # Bytes a second that all brokers send, to consumers and to each other
    egress: float  # Bytes a second that workers send to endpoints; responses not counted


def plan(
    load: Load,
    per_s: float,
    *,
    utilisation: float = UTILISATION,
    event_bytes: int = 1024,
    commit_interval_s: float = _default("commit_interval_s"),
) -> Plan:
    """Return what `per_s` webhooks a second need, one endpoint for each event.

    Args:
        load: What one webhook takes.
        per_s: Webhooks a second, > 0.
        utilisation: Share of the maximum throughput to plan with, in (0, 1].
        event_bytes: Size of an event on Kafka.
        commit_interval_s: Seconds between two commits of a worker.
    """
    peak = per_s / utilisation
    workers = _ceil(peak / load.process_per_s)
    partitions = workers * _ceil(_ceil(peak / load.partition_per_s) / workers)
    events = per_s * (event_bytes + _RECORD_BYTES)
    log = per_s * (_LOG_BYTES + _RECORD_BYTES)
    # A partition on which nothing was done has nothing to commit.
    commits = min(per_s, partitions / commit_interval_s) * _COMMIT_BYTES
    kafka_in = events + log + commits
    body = ceil((event_bytes + _ENVELOPE_BYTES) * 4 / 3) + _JWE_BYTES
    return Plan(
        workers=workers,
        partitions=partitions,
        customers=_ceil(peak / load.customer_per_s),
        brokers=max(
            COPIES,
            ceil(kafka_in / BROKER_BYTES_PER_S),
            ceil(_TOPICS * partitions * COPIES / BROKER_REPLICAS),
        ),
        kafka_in=kafka_in,
        # Workers read the events, one process reads the delivery log.
        kafka_out=events + log + kafka_in * (COPIES - 1),
        egress=per_s * (body + _HTTP_BYTES),
    )


def _per_s(slots: float, each_s: float) -> float:
    return slots / each_s if each_s else inf


def _ceil(number: float) -> int:
    # Rounded first: 3.0000000000000004 needs three.
    return max(1, ceil(round(number, 9)))
