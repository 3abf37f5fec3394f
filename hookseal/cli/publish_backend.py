"""Where `hookseal publish` puts events: on the log, or into the API's hands."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from hookseal.cli.api_session import key_of, named_api
from hookseal.errors import ConfigurationError
from hookseal.kafka.topics import partition_count
from hookseal.seal.api_keys import TENANT_PREFIX

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator, Callable

    from hookseal.cli.pipeline import Pipeline
    from hookseal.config import Settings
    from hookseal.domain.new_event import NewEvent
    from hookseal.domain.record import Position

__all__ = ["PublishBackend", "publish_backend"]

# Seconds for which a batch is offered to an API that cannot take it just now.
_PATIENCE_S = 60.0


class PublishBackend(Protocol):
    """Takes events in their order, many under way, in bounded memory.

    Attributes:
        acknowledged: Records that all in-sync replicas have, by partition.
    """

    acknowledged: Counter[int]

    @property
    def last(self) -> Position | None:
        """Where the latest record stands; None if it is not known, or on all partitions."""
        ...

    async def put(self, number: int, draft: NewEvent) -> None:
        """Hand over one event; wait for older ones when too many are under way.

        Args:
            number: Of its line, from 1.
            draft: The event.

        Raises:
            HooksealError: It is not published, or an older one is not; names the line.
        """
        ...

    async def put_alone(self, draft: NewEvent) -> None:
        """Publish the one event that there is; return when it is acknowledged.

        Raises:
            HooksealError: It is not published.
        """
        ...

    async def drain(self) -> None:
        """Wait until every event is acknowledged.

        Raises:
            HooksealError: As `put`.
        """
        ...


@asynccontextmanager
async def publish_backend(settings: Settings, *, broadcast: bool) -> AsyncIterator[PublishBackend]:
    """Return the API that the settings name, if they do, or else Kafka itself.

    At the end of the block what was handed over is acknowledged or has failed.

    Args:
        settings: Where.
        broadcast: Whether the events are for every tenant.

    Raises:
        BrokerError: `broker_unreachable`.
        ConfigurationError: `topic_missing`, `partitions_differ`, `admin_only`, and as
            `key_of`.
    """
    if settings.api_url:
        from hookseal.cli.api_publish_backend import ApiOutlet

        if broadcast and key_of(settings).startswith(TENANT_PREFIX):
            # The API would take it for an event for the key's own tenant.
            raise ConfigurationError(
                "admin_only",
                "Only the operator's admin key may publish to every tenant.",
                field="HOOKSEAL_API_KEY",
            )
        async with named_api(settings, timeout_s=_PATIENCE_S) as api, ApiOutlet(api) as asked:
            yield asked
        return
    from hookseal.cli.pipeline import Pipeline

    # Before the first record: a broker may make a topic that it does not know, its own way.
    partitions = await partition_count(settings.cluster)
    async with Pipeline(settings.cluster, settings.names.events) as pipeline:
        yield _Kafka(pipeline, partitions, settings.sealing())


class _Kafka:
    def __init__(
        self, pipeline: Pipeline, partitions: int, sealing: Callable[[NewEvent], NewEvent]
    ) -> None:
        self.acknowledged = pipeline.acknowledged
        self._sealing = sealing
        self._pipeline = pipeline
        self._partitions = partitions

    @property
    def last(self) -> Position | None:
        return self._pipeline.last

    async def put(self, number: int, draft: NewEvent) -> None:
        where = range(self._partitions) if draft.is_broadcast else [None]
        draft = self._sealing(draft)
        for partition in where:
            await self._pipeline.put(
                number, key=draft.key, value=draft.value, headers=draft.headers, partition=partition
            )

    async def put_alone(self, draft: NewEvent) -> None:
        await self.put(1, draft)
        await self.drain()

    async def drain(self) -> None:
        await self._pipeline.drain()
