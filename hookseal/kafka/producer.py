"""Writing to Kafka so that an acknowledgement means: safe."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Required, Self, TypedDict, Unpack

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from hookseal.domain.record import Position
from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.record import Headers
    from hookseal.kafka.cluster import Cluster

__all__ = ["NewRecord", "Position", "Producer"]

_log = logging.getLogger(__name__)

# Room for a dead letter: the greatest record of `events` and the headers added to it.
_REQUEST_MAX_BYTES = 2 * 1024 * 1024
_PAUSE_S = 0.5
_PAUSE_CAP_S = 10.0


class NewRecord(TypedDict, total=False):
    """What `Producer.publish` takes beside the topic."""

    key: Required[bytes | None]
    value: Required[bytes | None]
    headers: Headers
    partition: int | None
    timestamp_ms: int | None


class Producer:
    """An idempotent producer that waits for all in-sync replicas.

    It connects when it is started, or else with the first record.
    """

    def __init__(self, cluster: Cluster, *, timeout_s: float = 30.0) -> None:
        """Prepare.

        Args:
            cluster: Where to write.
            timeout_s: Seconds after which a record that is not acknowledged is given up.
        """
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._client: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        self._client = await self._connect()

    async def close(self) -> None:
        """Send what waits, then disconnect."""
        if self._client is not None:
            await self._client.stop()
            self._client = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Position:
        """Write one record; return where it stands, once all in-sync replicas have it.

        Args:
            topic: The topic's name, prefix included.
            key: Chooses the partition (murmur2) when none is given.
            value: None writes a tombstone.
            headers: In this order.
            partition: Counted from 0.
            timestamp_ms: Milliseconds since the Unix epoch; now when None.

        Raises:
            BrokerError: `publish_failed`, the record may still have been written;
                `broker_unreachable`, it was not.
        """
        client = self._client
        if client is None:
            client = await self._first()
        if key is None and value is None:
            # The client refuses a record with neither; the key says less than the value.
            key = b""
        try:
            sent = await client.send_and_wait(
                topic,
                value=value,
                key=key,
                partition=partition,
                timestamp_ms=timestamp_ms,
                headers=list(headers),
            )
        except KafkaError as error:
            await self._renew(client)
            raise BrokerError(
                "publish_failed", f"Writing to {topic} failed: {type(error).__name__}."
            ) from error
        return Position(sent.partition, sent.offset)

    async def publish_surely(
        self,
        topic: str,
        *,
        on_failure: Callable[[], None] = lambda: None,
        **record: Unpack[NewRecord],
    ) -> Position:
        """Write one record as `publish` does, trying again for as long as it takes.

        Args:
            topic: The topic's name, prefix included.
            on_failure: Called each time that it could not be written.
            record: As for `publish`.
        """
        pause_s = _PAUSE_S
        while True:
            try:
                return await self.publish(topic, **record)
            except BrokerError as error:
                _log.error("%s Trying again in %.1f s.", error.message, pause_s)
                on_failure()
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_CAP_S, pause_s * 2)

    async def _first(self) -> AIOKafkaProducer:
        async with self._renewing:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _renew(self, failed: Any) -> None:
        # A batch that expired leaves a gap in the idempotent producer's sequence numbers,
        # after which the broker refuses everything (OutOfOrderSequenceNumber); some errors
        # are fatal to the client outright. A new client starts a new sequence.
        async with self._renewing:
            if self._client != failed:
                return
            try:
                self._client = await self._connect()
            except BrokerError:
                return
        await failed.stop()

    async def _connect(self) -> AIOKafkaProducer:
        client = AIOKafkaProducer(
            **self._cluster.arguments(),
            acks="all",
            enable_idempotence=self._cluster.idempotence,
            max_request_size=_REQUEST_MAX_BYTES,
            request_timeout_ms=round(self._timeout_s * 1000),
        )
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            await client.stop()
            raise self._cluster.unreachable() from error
        return client
