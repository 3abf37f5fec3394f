"""Topics of their own for each run, and the environment of the processes on them."""

from __future__ import annotations

import asyncio
import base64
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.scenario import PARTITIONS
from hookseal.config import load
from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.consumer import LogEnds
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.codec import TenantCodec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.scenario import Setup
    from tests.brokers import Broker

_PREFIX = "HOOKSEAL_"
# What the worker takes over from the shell, to be compared: it is part of the question.
_COMPARED = ("HOOKSEAL_ORDERING", "HOOKSEAL_COMMIT_INTERVAL_S")
# What says how to reach a cluster of the operator's own.
_CLUSTER = ("HOOKSEAL_KAFKA_", "HOOKSEAL_REPLICATION", "HOOKSEAL_SESSION_", "HOOKSEAL_HEARTBEAT_")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One run's place."""

    cluster: Cluster  # With the run's own prefix
    # The whole environment of a worker; settings are the defaults but for what keeps a worker from
    # delivering to this very host.
    env: Mapping[str, str] = field(repr=False)

    @property
    def names(self) -> TopicNames:
        """The topics' names."""
        return TopicNames(self.cluster.topic_prefix)

    @property
    def codec(self) -> TenantCodec:
        """The codec of commands and tenant documents."""
        key = base64.b64decode(self.env["HOOKSEAL_MASTER_KEY"])
        return TenantCodec(self.names, [key])


@contextmanager
def deployed(setup: Setup, *, port: int) -> Iterator[Deployment]:
    """Create the topics, yield, and delete them again.

    Args:
        port: The receiver's; nothing else may be dialled.

    Raises:
        BrokerError: `broker_unreachable`, `topic_not_created`.
        ConfigurationError: `settings_invalid`, on a cluster of the operator's own.
    """
    broker = setup.broker
    prefix = f"bench-{secrets.token_hex(4)}."
    deployment = Deployment(
        _cluster(broker, prefix),
        {
            **kept_of(setup.shell, broker),
            **broker.settings,
            "HOOKSEAL_TOPIC_PREFIX": prefix,
            "HOOKSEAL_PARTITIONS": str(PARTITIONS),
            "HOOKSEAL_MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8",
            "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
            "HOOKSEAL_EGRESS_ALLOW_PORTS": str(port),
            # As in production: a line for each attempt, as JSON, into a file.
            "HOOKSEAL_LOG_LEVEL": "INFO",
            "HOOKSEAL_LOG_FORMAT": "json",
        },
    )
    replication = load().replication if broker.kind == "bootstrap" else 1
    asyncio.run(topics.create(deployment.cluster, partitions=PARTITIONS, replication=replication))
    try:
        yield deployment
    finally:
        asyncio.run(_remove(deployment))


async def records_in(deployment: Deployment, topic: str) -> int:
    """Return how many offsets a topic has, in all of its partitions."""
    ends = LogEnds(deployment.cluster)
    await ends.start()
    try:
        return sum((await ends.of(topic, range(PARTITIONS))).values())
    finally:
        await ends.close()


def _cluster(broker: Broker, prefix: str) -> Cluster:
    if broker.kind == "bootstrap":
        return replace(load().cluster, topic_prefix=prefix)
    idempotence = broker.settings.get("HOOKSEAL_KAFKA_IDEMPOTENCE", "true") == "true"
    return Cluster(broker.bootstrap, topic_prefix=prefix, idempotence=idempotence)


def kept_of(shell: Mapping[str, str], broker: Broker) -> dict[str, str]:
    """Return the shell's environment without settings that would change the figures."""
    return {
        name: value
        for name, value in shell.items()
        if not name.startswith(_PREFIX)
        or name in _COMPARED
        or (broker.kind == "bootstrap" and name.startswith(_CLUSTER))
    }


async def _remove(deployment: Deployment) -> None:
    admin = AIOKafkaAdminClient(**deployment.cluster.arguments())
    try:
        await admin.start()
        await admin.delete_topics(list(deployment.names.configs()))
    finally:
        await admin.close()
