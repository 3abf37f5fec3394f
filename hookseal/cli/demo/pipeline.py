"""Publishing many records: in order, many under way, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Self

from aiokafka.errors import KafkaError

from hookseal.domain.record import Position
from hookseal.errors import BrokerError
from hookseal.kafka.producer import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.record import Headers
    from hookseal.kafka.cluster import Cluster

__all__ = ["Pipeline"]


class Pipeline:
    """Publishes to one topic.

    `hookseal.kafka.producer` waits for each record. Calling it many times at once would
    be quick, but tasks that wait for room in a full batch may overtake one another; here
    one task hands the records over and another one awaits them, in this order.

    Attributes:
        acknowledged: Records that all in-sync replicas have, by partition.
        last: Where the latest of them stands.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        *,
        in_flight: int = 500,
        on_acknowledged: Callable[[int, Position], None] = lambda *_: None,
    ) -> None:
        """Prepare.

        Args:
            cluster: Where the topic is.
            topic: Its name, prefix included.
            in_flight: Records that may wait to be acknowledged.
            on_acknowledged: Told the number and place of each record.
        """
        self.acknowledged: Counter[int] = Counter()
        self.last: Position | None = None
        self._cluster = cluster
        self._topic = topic
        self._in_flight = in_flight
        self._on_acknowledged = on_acknowledged
        self._waiting: deque[tuple[int, asyncio.Future[Position]]] = deque()

    async def __aenter__(self) -> Self:
        self._client = await connect(self._cluster, request_timeout_ms=30_000)
        return self

    async def __aexit__(self, *_: object) -> None:
        # Before the client stops: what was handed over counts when it is acknowledged.
        await asyncio.gather(*(sent for _, sent in self._waiting), return_exceptions=True)
        while self._waiting:
            number, sent = self._waiting.popleft()
            if not sent.cancelled() and sent.exception() is None:
                self._count(number, sent.result())
        await self._client.stop()

    async def put(
        self,
        number: int,
        *,
        key: bytes | None,
        value: bytes,
        headers: Headers = (),
        partition: int | None = None,
    ) -> None:
        """Hand over one record; wait for older ones when too many are under way.

        Args:
            number: Where it came from, for errors and acknowledgements.
            key: Chooses the partition (murmur2) when none is given.
            value: The record's value.
            headers: In this order.
            partition: Counted from 0.

        Raises:
            BrokerError: `publish_failed`, for this record or an older one.
        """
        while len(self._waiting) >= self._in_flight:
            await self._settle()
        try:
            sent = await self._client.send(
                self._topic, value=value, key=key, partition=partition, headers=list(headers)
            )
        except KafkaError as error:
            raise self._failed(number, error) from error
        self._waiting.append((number, sent))

    async def drain(self) -> None:
        """Wait until every record is acknowledged.

        Raises:
            BrokerError: `publish_failed`.
        """
        while self._waiting:
            await self._settle()

    async def _settle(self) -> None:
        number, sent = self._waiting[0]
        try:
            where = await asyncio.shield(sent)
        except KafkaError as error:
            self._waiting.popleft()
            raise self._failed(number, error) from error
        self._waiting.popleft()
        self._count(number, where)

    def _count(self, number: int, where: Position) -> None:
        self.acknowledged[where.partition] += 1
        self.last = Position(where.partition, where.offset)
        self._on_acknowledged(number, self.last)

    def _failed(self, number: int, error: Exception) -> BrokerError:
        return BrokerError(
            "publish_failed",
            f"Writing to {self._topic} failed: {type(error).__name__}.",
            field=f"line {number}",
        )
