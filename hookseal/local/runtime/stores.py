"""The store that `HOOKSEAL_QUEUE_URL` names, with its leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from hookseal.errors import ConfigurationError
from hookseal.local.leases import EveryPartition
from hookseal.local.memory_store import MemoryStore

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.delivery.ordering.keys import Ordering
    from hookseal.delivery.ports import Clock
    from hookseal.local.leases import Leases
    from hookseal.local.store import Store

LocalOrdering = Literal["unordered", "customer", "sequential"]

_MEMORY = "memory://"


class OpenStore(NamedTuple):
    """A store and the leases on its partitions."""

    store: Store
    leases: Leases

    @property
    def memory(self) -> MemoryStore | None:
        """The store in memory, if it is one."""
        return self.store if isinstance(self.store, MemoryStore) else None


def resolve_ordering(settings: Settings, requested: LocalOrdering | None) -> Ordering:
    """Return the engine's ordering mode.

    Args:
        requested: None = the setting HOOKSEAL_ORDERING, or `unordered`.

    Raises:
        ConfigurationError: `ordering_unsupported`.
    """
    if requested is None and "ordering" in settings.model_fields_set:
        if settings.ordering == "partition":
            raise ConfigurationError(
                "ordering_unsupported",
                "`partition` is an order of Kafka's partitions; without Kafka choose `customer`, "
                "`unordered`, or with --ordering `sequential`: one event after the other.",
                field="HOOKSEAL_ORDERING",
            )
        return settings.ordering
    if requested == "sequential":
        return "partition"
    return requested or "unordered"


def open_store(settings: Settings, ordering: Ordering, clock: Clock) -> OpenStore:
    """Return the store that the settings name, not yet started.

    Raises:
        ConfigurationError: `queue_invalid`, `extra_missing`.
    """
    if settings.queue_url == _MEMORY:
        # One partition: first in, first out.
        return OpenStore(MemoryStore(1, now=clock.now), EveryPartition(1))
    try:
        from hookseal.local.redis_leases import RedisLeases  # noqa: PLC0415 - an extra
        from hookseal.local.redis_link import RedisLink  # noqa: PLC0415
        from hookseal.local.redis_store import RedisStore  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "extra_missing", "redis is not installed; install `hookseal[redis]`.", field="redis"
        ) from None
    # One event at a time over all processes needs a single partition.
    partitions = 1 if ordering == "partition" else settings.partitions
    link = RedisLink(settings.queue_url, settings.topic_prefix)
    leases = RedisLeases(
        link,
        partitions,
        lease_s=settings.session_timeout_s,
        heartbeat_s=settings.heartbeat_interval_s,
        name=settings.group_instance_id,
    )
    return OpenStore(RedisStore(link, partitions), leases)
