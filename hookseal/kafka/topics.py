"""The topics: names, configuration, creation and checks."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from hookseal.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from hookseal.kafka.cluster import Cluster

_VISIBLE_S = 10.0
_PAUSE_S = 0.1
_DAY_MS = 24 * 3600 * 1000
# With three replicas one may be lost while a write still needs two.
_REPLICAS_TO_LOSE_ONE = 3


class TopicNames:
    """Names of the topics, prefix included.

    Keyed by customer id, except `replays`, the ledger of replayed dead letters by partition.
    `deliveries` has one record per attempt.
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.events = f"{prefix}events"
        self.commands = f"{prefix}tenant-commands"
        self.tenants_changelog = f"{prefix}hookseal-tenants-changelog"
        self.dead_letters = f"{prefix}dead-letters"
        self.deliveries = f"{prefix}deliveries"
        self.replays = f"{prefix}replays"

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """Return each topic's configuration, by name."""
        return {
            self.events: {"retention.ms": str(7 * _DAY_MS)},
            self.commands: {"retention.ms": str(30 * _DAY_MS)},
            self.tenants_changelog: {"cleanup.policy": "compact"},
            # A dead letter adds headers to a record that may be as large as `events` allows.
            self.dead_letters: {
                "retention.ms": str(90 * _DAY_MS),
                "max.message.bytes": str(2 * 1024 * 1024),
            },
            self.deliveries: {"retention.ms": str(7 * _DAY_MS)},
            # Longer than `dead-letters`: without its entry a letter could be replayed again.
            self.replays: {"retention.ms": str(120 * _DAY_MS)},
        }


async def states(cluster: Cluster) -> dict[str, int | None]:
    """Return the number of partitions of each topic; None = it does not exist."""
    names = list(TopicNames(cluster.topic_prefix).configs())
    return dict.fromkeys(names) | await partitions_of(cluster, names)


async def partitions_of(cluster: Cluster, names: list[str]) -> dict[str, int]:
    """Return the number of partitions of each of these topics that exists."""
    async with admin_client(cluster) as admin:
        # A broker may create the topics that it is asked about: ask only about those it lists.
        known = set(await admin.list_topics())
        asked = [name for name in names if name in known]
        described = await admin.describe_topics(asked) if asked else []
        return {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["error_code"] == 0
        }


async def create(cluster: Cluster, *, partitions: int, replication: int = 1) -> list[str]:
    """Create the topics that are missing, then `check` all; return the names of the new ones."""
    configs = TopicNames(cluster.topic_prefix).configs()
    missing = [name for name, count in (await states(cluster)).items() if count is None]
    durability = {"min.insync.replicas": "2"} if replication >= _REPLICAS_TO_LOSE_ONE else {}
    wanted = [
        NewTopic(name, partitions, replication, topic_configs={**configs[name], **durability})
        for name in missing
    ]
    if wanted:
        async with admin_client(cluster) as admin:
            answer = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            # Another process may have created it meanwhile.
            if code not in (0, TopicAlreadyExistsError.errno):
                raise BrokerError(
                    "topic_not_created",
                    f"The broker refused to create {name}: {for_code(code).__name__}.",
                    field=name,
                )
    # A broker answers before all of its nodes know the topics.
    deadline = time.monotonic() + _VISIBLE_S
    found = await states(cluster)
    while None in found.values() and time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE_S)
        found = await states(cluster)
    check(found)
    return missing


def check(found: Mapping[str, int | None]) -> int:
    """Return the number of partitions, which must be the same for all topics.

    Raises:
        ConfigurationError: `topic_missing`, `partitions_differ`.
    """
    missing = [name for name, count in found.items() if count is None]
    if missing:
        raise ConfigurationError(
            "topic_missing",
            f"Create the missing topics with `hookseal topics create`: {', '.join(missing)}.",
            field=missing[0],
        )
    counts = {count or 0 for count in found.values()}
    if len(counts) != 1:
        listing = ", ".join(f"{name} has {count}" for name, count in found.items())
        raise ConfigurationError(
            "partitions_differ",
            "All topics must have the same number of partitions, since a customer's events, "
            f"commands and tenant are joined by partition, but {listing}.",
        )
    return counts.pop()


async def partition_count(cluster: Cluster) -> int:
    """`check` all topics but the ledger of replays, which workers do not need."""
    ledger = TopicNames(cluster.topic_prefix).replays
    found = await states(cluster)
    return check({name: count for name, count in found.items() if name != ledger or count})


@asynccontextmanager
async def admin_client(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a started admin client; raise `broker_unreachable`."""
    client = AIOKafkaAdminClient(**cluster.arguments())
    await cluster.connect(client.start, client.close)
    try:
        yield client
    finally:
        await client.close()
