"""Reads partitions of a topic from their start and follows them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Self

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from hookseal.errors import BrokerError
from hookseal.kafka.consumer import LogEnds, consume, topic_partitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import ConsumerRecord

    from hookseal.kafka.cluster import Cluster

# Processing a batch blocks the event loop: with records of 2 KB, a few milliseconds.
_BATCH_MAX = 200
_POLL_MS = 200
# On a quiet topic: two requests a second.
_FETCH_WAIT_MS = 500
_ENDS_TIMEOUT_S = 2.0
_METADATA_TIMEOUT_S = 5.0
# Only the metadata shows that a topic was recreated with more partitions.
_METADATA_MS = 30_000


class LogFollower:
    """Reads without a consumer group and commits. Use it as an asynchronous context manager.

    Attributes:
        starts: Offset of the first record at the start, by partition.
        positions: Offset behind the last record for which `taken` was called, by partition.
    """

    def __init__(
        self, cluster: Cluster, topic: str, partitions: tuple[int, ...] | None = None
    ) -> None:
        self.starts: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self._cluster = cluster
        self._topic = topic
        self._partitions = partitions
        self._ends = LogEnds(cluster)

    async def __aenter__(self) -> Self:
        """Connect, and seek to the first record.

        Raises:
            BrokerError: `topic_missing`.
        """
        async with AsyncExitStack() as stack:
            self._places = await topic_partitions(self._cluster, self._topic, self._partitions)
            await self._ends.start()
            stack.push_async_callback(self._ends.close)
            waits = {"fetch_max_wait_ms": _FETCH_WAIT_MS, "metadata_max_age_ms": _METADATA_MS}
            # Not `from_earliest`: a position that the log does not have means that the topic was
            # recreated, and what was read of the old topic is worthless.
            self._consumer = await stack.enter_async_context(consume(self._cluster, **waits))
            try:
                starts = await self._consumer.beginning_offsets(self._places)
            except (KafkaError, OSError) as error:
                raise self._cluster.unreachable() from error
            # No await before the last seek: the consumer would choose a position itself.
            self._consumer.assign(self._places)
            for place, offset in starts.items():
                self._consumer.seek(place, offset)
                self.starts[place.partition] = self.positions[place.partition] = offset
            self._connections = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.aclose()

    async def batch(self) -> list[ConsumerRecord]:
        """Return the next records; empty after 200 ms without records or broker.

        Raises:
            BrokerError: `topic_replaced`, `topic_unreadable`.
        """
        try:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_BATCH_MAX)
        except OffsetOutOfRangeError as error:
            raise self._replaced() from error
        except KafkaError as error:
            raise BrokerError(
                "topic_unreadable",
                f"Topic {self._topic} cannot be read: {type(error).__name__}.",
                field=self._topic,
            ) from error
        return [record for records in found.values() for record in records]

    async def taken(self) -> None:
        """Move the positions behind the last batch."""
        for place in self._places:
            self.positions[place.partition] = await self._consumer.position(place)

    async def ends(self) -> Mapping[int, int]:
        """Return the current end offset of each partition.

        Raises:
            BrokerError: `topic_missing`, `topic_replaced`.
        """
        known = self._consumer.partitions_for_topic(self._topic)
        if known and self._partitions is None and len(known) != len(self._places):
            raise self._replaced()
        try:
            async with asyncio.timeout(_ENDS_TIMEOUT_S):
                return await self._ends.of(self._topic, self.positions)
        except (BrokerError, TimeoutError):
            # The client does not notice that its topic was deleted.
            with suppress(TimeoutError):
                async with asyncio.timeout(_METADATA_TIMEOUT_S):
                    places = await topic_partitions(self._cluster, self._topic)
                if self._partitions is None and places != self._places:
                    raise self._replaced() from None
            raise self._cluster.unreachable() from None

    def _replaced(self) -> BrokerError:
        return BrokerError(
            "topic_replaced",
            f"Topic {self._topic} was recreated. It is read from its start.",
            field=self._topic,
        )
