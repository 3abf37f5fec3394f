"""Bytes of a second's webhooks, on Kafka and on the way out, and the brokers for them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from hookseal.bench.capacity import Demand
    from hookseal.seal.keys import KeyKind

__all__ = [
    "BROKER_PRODUCED_BYTES_PER_S",
    "BROKER_REPLICAS_MAX",
    "CLUSTER_REPLICAS_MAX",
    "COMMIT_BYTES",
    "COPIES",
    "ENVELOPE_BYTES",
    "HTTP_BYTES",
    "JWE_BYTES",
    "LOG_RECORD_BYTES",
    "RECORD_BYTES",
    "TOPICS",
    "Assumptions",
    "Traffic",
    "brokers_needed",
    "clusters_needed",
    "commits_per_s",
    "sealed_bytes",
    "traffic_of",
]

COPIES: Final = 3
"""`HOOKSEAL_REPLICATION` in production."""

TOPICS: Final = len(TopicNames().configs())
"""All have the same number of partitions."""

BROKER_PRODUCED_BYTES_PER_S: Final = 50_000_000
"""Assumed, not measured: what clients write to one broker, before replication.

With three copies it then writes 150 MB/s to disk, and takes and sends some 1.2 Gbit/s.
"""

BROKER_REPLICAS_MAX: Final = 4000
"""Assumed: what is recommended for a broker of 16 vCPUs or more, "leader and follower replicas"
(Amazon MSK Developer Guide, "Best practices")."""

CLUSTER_REPLICAS_MAX: Final = 200_000
"""Assumed: "Apache Kafka Supports 200K Partitions Per Cluster", Confluent's blog, 2018.

That is of clusters with ZooKeeper, and KRaft goes beyond it. Replicas are counted, as they are
for a broker: the careful reading."""

RECORD_BYTES: Final = 50
"""Assumed: a record's key, lengths, and its part of the batch's header (61 bytes)."""

LOG_RECORD_BYTES: Final = 380
"""JSON of an attempt on `deliveries`, with ids of the usual length (counted)."""

COMMIT_BYTES: Final = 200
"""Assumed: a committed offset with its note, as a record on `__consumer_offsets`."""

ENVELOPE_BYTES: Final = 85
"""The plaintext is longer than the event's value by so much (counted)."""

JWE_BYTES: Final[dict[KeyKind, int]] = {
    "rsa-2048": 590,
    "rsa-4096": 930,
    "p256": 400,
    "x25519": 335,
}
"""The body is longer than 4/3 of the plaintext by so much: header, wrapped key, tag, names
(counted)."""

HTTP_BYTES: Final = 500
"""Assumed: request line and headers, some 300 bytes, then TLS records, TCP and IP. Without the
handshake, some 1 KB more where an endpoint has no event within 4 s."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the bytes depend on, besides how many webhooks there are.

    Attributes:
        event_bytes: Of an event's value on Kafka.
        key: Kind of the tenants' public keys.
        copies: Replicas of each partition.
        log_readers: Processes that read the delivery log, such as the API's index.
        commit_interval_s: `HOOKSEAL_COMMIT_INTERVAL_S`.
    """

    event_bytes: int = 1024
    key: KeyKind = "rsa-2048"
    copies: int = COPIES
    log_readers: int = 1
    commit_interval_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a second.

    Attributes:
        produced: Written by clients: events, the delivery log, offsets.
        stored: Written by all brokers together, to disk: each copy.
        read: By workers, and by whoever reads the delivery log.
        sent: By all brokers together: what is read, and what goes to their peers.
        egress: From workers to endpoints, the answers not counted.
    """

    produced: float
    stored: float
    read: float
    sent: float
    egress: float


def sealed_bytes(event_bytes: int, key: KeyKind) -> int:
    """Return the size of the body on the wire: base64url of the plaintext, and the JWE around it.

    Args:
        event_bytes: Of the event's value on Kafka.
        key: Kind of the tenant's public key.
    """
    return ceil((event_bytes + ENVELOPE_BYTES) * 4 / 3) + JWE_BYTES[key]


def traffic_of(demand: Demand, assumed: Assumptions, *, partitions: int) -> Traffic:
    """Return the bytes a second, one endpoint for each event.

    Args:
        demand: How many webhooks.
        assumed: Sizes, and who reads.
        partitions: Of `events`.
    """
    attempts_per_s = demand.per_s * demand.work.attempts
    events = demand.per_s * (assumed.event_bytes + RECORD_BYTES)
    log = attempts_per_s * (LOG_RECORD_BYTES + RECORD_BYTES)
    # A partition on which nothing was finished has nothing to commit.
    offsets = min(demand.per_s, partitions / assumed.commit_interval_s) * COMMIT_BYTES
    produced = events + log + offsets
    read = events + log * assumed.log_readers
    return Traffic(
        produced=produced,
        stored=produced * assumed.copies,
        read=read,
        sent=read + produced * (assumed.copies - 1),
        egress=attempts_per_s * (sealed_bytes(assumed.event_bytes, assumed.key) + HTTP_BYTES),
    )


def commits_per_s(demand: Demand, assumed: Assumptions, *, workers: int) -> float:
    """Return the commits a second of all workers.

    One broker gets all of them: the one that coordinates the consumer group.
    """
    return min(demand.per_s, workers / assumed.commit_interval_s)


def clusters_needed(partitions: int, *, copies: int = COPIES) -> int:
    """Return the number of clusters that so many partitions of each topic are too many for."""
    return max(1, ceil(TOPICS * partitions * copies / CLUSTER_REPLICAS_MAX))


def brokers_needed(produced: float, partitions: int, *, copies: int = COPIES) -> int:
    """Return the number of brokers, in all clusters.

    Args:
        produced: Bytes a second that clients write.
        partitions: Of each topic.
        copies: Replicas of each partition; no broker has two of them.
    """
    return max(
        copies * clusters_needed(partitions, copies=copies),
        ceil(produced / BROKER_PRODUCED_BYTES_PER_S),
        ceil(TOPICS * partitions * copies / BROKER_REPLICAS_MAX),
    )
