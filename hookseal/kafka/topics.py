"""The topics: their names, how they are made, and what must hold for them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from hookseal.errors import BrokerError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.kafka.cluster import Cluster

_VISIBLE_S = 10.0
_PAUSE_S = 0.1
_DAY_MS = 24 * 3600 * 1000
_MIB = 1024 * 1024
# Three copies are the least of which one may be lost while a write still needs two.
_COPIES_FOR_A_SPARE = 3


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names, prefix included."""

    prefix: str = ""

    @property
    def events(self) -> str:
        """Events, keyed by customer id."""
        return f"{self.prefix}events"

    @property
    def commands(self) -> str:
        """Changes to tenants, keyed by customer id."""
        return f"{self.prefix}tenant-commands"

    @property
    def tenants_changelog(self) -> str:
        """The tenants table, keyed by customer id, compacted, written by Faust."""
        return f"{self.prefix}hookseal-tenants-changelog"

    @property
    def dead_letters(self) -> str:
        """Deliveries given up, keyed by customer id."""
        return f"{self.prefix}dead-letters"

    @property
    def deliveries(self) -> str:
        """One record per attempt, keyed by customer id."""
        return f"{self.prefix}deliveries"

    @property
    def replays(self) -> str:
        """What was published again: the ledger of replays, by partition."""
        return f"{self.prefix}replays"

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """Return each topic's configuration, by name."""
        return {
            self.events: {"retention.ms": str(7 * _DAY_MS)},
            self.commands: {"retention.ms": str(30 * _DAY_MS)},
            self.tenants_changelog: {"cleanup.policy": "compact"},
            # Longer than `events`, and with room for the headers that a dead letter adds
            # to a record of the greatest size that `events` takes.
            self.dead_letters: {
                "retention.ms": str(90 * _DAY_MS),
                "max.message.bytes": str(2 * _MIB),
            },
            self.deliveries: {"retention.ms": str(7 * _DAY_MS)},
            # Longer than `dead-letters`: an entry that went before its letter would let
            # the letter be replayed once more.
            self.replays: {"retention.ms": str(120 * _DAY_MS)},
        }


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker knows it.

    Attributes:
        name: Its name.
        partitions: How many, or None when the topic is missing.
    """

    name: str
    partitions: int | None


async def states(cluster: Cluster) -> list[TopicState]:
    """Return the state of each topic.

    Raises:
        BrokerError: `broker_unreachable`.
    """
    names = list(TopicNames(cluster.topic_prefix).configs())
    found = await partitions_of(cluster, names)
    return [TopicState(name, found.get(name)) for name in names]


async def partitions_of(cluster: Cluster, names: list[str]) -> dict[str, int]:
    """Return how many partitions each of these topics has; missing ones are left out.

    Raises:
        BrokerError: `broker_unreachable`.
    """
    async with _admin(cluster) as admin:
        # A broker may make the topics that it is asked about, its own way: ask for no others
        # than it has.
        known = set(await admin.list_topics())
        asked = [name for name in names if name in known]
        described = await admin.describe_topics(asked) if asked else []
        return {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["error_code"] == 0
        }


async def create(cluster: Cluster, *, partitions: int, replication: int = 1) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        BrokerError: `broker_unreachable`, `topic_not_created`.
        ConfigurationError: As `check`.
    """
    configs = TopicNames(cluster.topic_prefix).configs()
    missing = [state.name for state in await states(cluster) if state.partitions is None]
    durability = {"min.insync.replicas": "2"} if replication >= _COPIES_FOR_A_SPARE else {}
    wanted = [
        NewTopic(
            name,
            partitions,
            replication,
            topic_configs={**configs[name], **durability},
        )
        for name in missing
    ]
    if wanted:
        async with _admin(cluster) as admin:
            answer = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            # Another process may have made it meanwhile.
            if code not in (0, TopicAlreadyExistsError.errno):
                raise BrokerError(
                    "topic_not_created",
                    f"The broker refused to create {name}: {for_code(code).__name__}.",
                    field=name,
                )
    # A broker answers before all of its nodes know of the topics.
    deadline = time.monotonic() + _VISIBLE_S
    found = await states(cluster)
    while any(state.partitions is None for state in found) and time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE_S)
        found = await states(cluster)
    check(found)
    return missing


def check(found: list[TopicState]) -> int:
    """Return the number of partitions, if the topics are as they must be.

    Raises:
        ConfigurationError: `topic_missing`, `partitions_differ`.
    """
    missing = [state.name for state in found if state.partitions is None]
    if missing:
        raise ConfigurationError(
            "topic_missing",
            f"Create the missing topics with `hookseal topics create`: {', '.join(missing)}.",
            field=missing[0],
        )
    counts = {state.name: state.partitions or 0 for state in found}
    if len(set(counts.values())) != 1:
        listing = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigurationError(
            "partitions_differ",
            "All topics must have the same number of partitions, since a customer's events, "
            f"commands and tenant are joined by partition, but {listing}.",
        )
    return next(iter(counts.values()))


async def partition_count(cluster: Cluster) -> int:
    """Return the number of partitions, if the topics are as they must be.

    The ledger of replays may be missing: nothing is delivered by it, and where topics were
    made before there was one workers go on as they did.

    Raises:
        BrokerError: `broker_unreachable`.
        ConfigurationError: As `check`.
    """
    ledger = TopicNames(cluster.topic_prefix).replays
    found = await states(cluster)
    return check([state for state in found if state.name != ledger or state.partitions])


class _admin:  # noqa: N801 - used like the function it would be, were it not for __aexit__
    """An admin client whose errors are ours."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def __aenter__(self) -> AIOKafkaAdminClient:
        self._client = AIOKafkaAdminClient(**self._cluster.arguments())
        try:
            await self._client.start()
        except (KafkaError, OSError) as error:
            await self._client.close()
            raise self._cluster.unreachable() from error
        except BaseException:
            await self._client.close()
            raise
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
