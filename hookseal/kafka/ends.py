"""Where partitions end, asked on a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal.kafka.cluster import Cluster

__all__ = ["LogEnds"]


class LogEnds:
    """Tells the offset behind a partition's last record.

    A client of its own: on the consumer's connection the question would wait behind the
    fetch that waits for records, up to 1.5 s each time.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        client = AIOKafkaConsumer(**self._cluster.arguments(), enable_auto_commit=False)
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            await client.stop()
            raise self._cluster.unreachable() from error
        except BaseException:
            await client.stop()
            raise
        self._client = client

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.stop()
            self._client = None

    async def of(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that the next record will get, by partition.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        if self._client is None:
            raise self._cluster.unreachable()
        places = [TopicPartition(topic, partition) for partition in partitions]
        try:
            ends = await self._client.end_offsets(places)
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error
        return {place.partition: end for place, end in ends.items()}
