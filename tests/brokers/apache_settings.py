"""`server.properties` of one node: Kafka as in production, but quick about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal.kafka.broker.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Listener", "Place", "copies", "server_properties"]

_COPIES_MAX = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is found.

    Attributes:
        node_id: Counted from 1.
        client_port: For clients and for the other brokers.
        controller_port: For the quorum of controllers.
    """

    node_id: int
    client_port: int
    controller_port: int

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.client_port}"


@dataclass(frozen=True, slots=True)
class Listener:
    """One more door of a node alone, beside the plain one.

    Attributes:
        name: In capitals, as Kafka has it.
        protocol: `SSL`, `SASL_SSL`, …
        port: A free one.
        settings: What Kafka needs for it, with full names.
    """

    name: str
    protocol: str
    port: int
    settings: Mapping[str, str]


def copies(nodes: int) -> int:
    """Return of how many copies the topics of a cluster should be."""
    return min(_COPIES_MAX, nodes)


def server_properties(
    place: Place, cluster: Sequence[Place], data: Path, listeners: Sequence[Listener] = ()
) -> str:
    """Return the file's text for one node of a cluster, each broker and controller at once."""
    replicas = copies(len(cluster))
    # One of three may be lost while a write still needs two. A topic with fewer copies
    # than that needs only those it has.
    in_sync = max(1, replicas - 1)
    voters = ",".join(f"{one.node_id}@{HOST}:{one.controller_port}" for one in cluster)
    controller = f"{HOST}:{place.controller_port}"
    doors = [
        f"CLIENT://{place.bootstrap}",
        *(f"{one.name}://{HOST}:{one.port}" for one in listeners),
    ]
    protocols = [
        "CLIENT:PLAINTEXT",
        "CONTROLLER:PLAINTEXT",
        *(f"{one.name}:{one.protocol}" for one in listeners),
    ]
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": place.node_id,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "listeners": ",".join([*doors, f"CONTROLLER://{controller}"]),
        "advertised.listeners": ",".join(doors),
        "listener.security.protocol.map": ",".join(protocols),
        "log.dirs": data,
        # A topic that was forgotten must fail, not come up with one partition.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 3,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 3,
        # Milliseconds. Workers join at once, and may be given up as soon as they wish.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A killed node's partitions move on after 4 s rather than 9; not sooner, or a
        # machine that is busy with tests loses nodes that are well.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 4000,
        # Of the 128 MiB that a broker keeps for compaction, some hundred keys need none:
        # 295 MiB resident became 175.
        "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
    }
    for one in listeners:
        settings |= one.settings
    return "".join(f"{name}={value}\n" for name, value in settings.items())
