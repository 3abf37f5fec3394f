"""Writes to `events` for many requests at once, and reconnects after each Kafka error."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from aiokafka.errors import BrokerResponseError, KafkaError, KafkaTimeoutError

from hookseal.errors import BrokerError, InvalidInputError, RecordRefusedError
from hookseal.kafka.consumer import topic_missing
from hookseal.kafka.producer import connect, is_permanent, is_too_large
from hookseal.kafka.topics import partitions_of
from hookseal.publishing.partition_writer import PartitionWriter, PendingAck, PendingRecord
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka import AIOKafkaProducer

    from hookseal.errors import HooksealError
    from hookseal.kafka.cluster import Cluster

_log = logging.getLogger(__name__)

# A broker accepts 1 MiB by default.
_BATCH_MAX_BYTES = 512 * 1024
_REQUEST_TIMEOUT_MS = 10_000
_QUEUED_MAX_BYTES = 64 * 1024 * 1024
_PAUSE_S = 0.25
_PAUSE_CAP_S = 5.0
_STOP_TIMEOUT_S = 5.0


class EventWriter:
    """Writes records. Each is acknowledged by all in-sync replicas, or reported as failed.

    While Kafka is down, the idempotent producer retries the batch in progress, although its
    requests time out. Waiting records are dropped, and new ones are refused at once.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        *,
        timeout_s: float,
        queued_max_bytes: int = _QUEUED_MAX_BYTES,
        on_ended: Callable[[Sequence[PendingRecord], bool], None] = lambda *_: None,
    ) -> None:
        """Let a request wait at most `timeout_s` seconds; queue about `queued_max_bytes`.

        `on_ended` gets consecutive records, and whether they were written.
        """
        self._cluster = cluster
        self._topic = topic
        self._timeout_s = timeout_s
        self._queued_max_bytes = queued_max_bytes
        self._on_ended = on_ended
        self._writers: list[PartitionWriter] = []
        self._client: AIOKafkaProducer | None = None
        self._failed: AIOKafkaProducer | None = None
        self._reason: BrokerError | None = None
        self._queued_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._wake = asyncio.Event()
        self._lost = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Connect in the background; return at once."""
        self._lost.set()
        self._tasks = (
            asyncio.create_task(self._keep_connected()),
            asyncio.create_task(self._keep_writing()),
        )

    async def close(self) -> None:
        """Wait for records in progress, then disconnect; takes some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in (self._client, self._failed):
            if client is not None:
                await self._discard(client)
        self._client = self._failed = None
        for writer in self._writers:
            self._finish(writer.drop_all(), _failed("ProducerClosed"))

    def why_not_ready(self) -> BrokerError | None:
        """Return why no record can be written now, or None."""
        if self._client is None:
            return self._reason or self._cluster.unreachable()
        if any(writer.is_overdue(self._timeout_s) for writer in self._writers):
            return self._cluster.unreachable()
        return None

    def known_partitions(self) -> int:
        """Return how many partitions the topic has; raise a `BrokerError` if it is unknown."""
        if not self._writers:
            raise self._reason or self._cluster.unreachable()
        return len(self._writers)

    def check_room(self, writes: Sequence[PendingRecord]) -> None:
        """Raise `broker_unreachable`, `topic_missing`, or `overloaded` if the queue is full."""
        if not writes:
            return
        if self._client is None and self._reason is not None:
            raise self._reason
        for partition in {write.partition for write in writes}:
            if self._writers[partition].is_overdue(self._timeout_s):
                raise self._cluster.unreachable()
        if self._queued_bytes + sum(write.size for write in writes) > self._queued_max_bytes:
            limit = f"{self._queued_max_bytes:,} bytes"
            raise BrokerError(
                "overloaded", f"The Kafka write queue is full ({limit}). Retry later."
            )

    def put(self, writes: Sequence[PendingRecord]) -> None:
        """Queue records, in this order within each partition."""
        if not writes:
            return
        self._idle.clear()
        for write in writes:
            self._queued_bytes += write.size
            self._writers[write.partition].put(write)
        self._wake.set()

    async def wait(self, writes: Sequence[PendingRecord]) -> None:
        """Return once all these queued records are written.

        Raises:
            BrokerError: `publish_failed`: each may still have been written, or may yet be.
            RecordRefusedError: `record_refused`: Kafka refuses one of them.
            InvalidInputError: `record_too_large`: one of them is over the topic's limit.
        """
        ack = PendingAck(writes)
        try:
            async with asyncio.timeout(self._timeout_s):
                await ack.future
        except TimeoutError:
            raise _failed("no acknowledgement in time") from None
        finally:
            if not ack.future.done() or ack.future.cancelled():
                self._abandon(ack, writes)

    def _abandon(self, ack: PendingAck, writes: Sequence[PendingRecord]) -> None:
        for write in writes:
            if ack in write.pending_acks:
                write.pending_acks.remove(ack)
        for partition in {write.partition for write in writes}:
            dropped = self._writers[partition].drop_abandoned()
            self._finish(dropped, _failed("no acknowledgement in time"))

    async def _keep_writing(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            for writer in self._writers:
                client = self._client
                if client is not None and writer.is_ready:
                    await writer.send(client)

    def _on_batch_ended(
        self, client: AIOKafkaProducer, batch: Sequence[PendingRecord], error: BaseException | None
    ) -> None:
        if error is None:
            self._finish(batch, None)
        else:
            _log.error("Writing to %s failed: %s.", self._topic, type(error).__name__)
            self._finish(batch, self._error_of(error))
            # A failed batch leaves a gap in the idempotent producer's sequence numbers, and the
            # broker refuses every batch behind it. A new client starts a new sequence. A record
            # that the client itself refuses never had a number.
            was_sent = not is_permanent(error) or isinstance(error, BrokerResponseError)
            if client is self._client and was_sent:
                self._client, self._failed = None, client
                self._lost.set()
        self._wake.set()

    def _error_of(self, error: BaseException) -> HooksealError:
        cause = type(error).__name__
        if is_too_large(error):
            return InvalidInputError(
                "record_too_large",
                "The event is larger than the topic accepts. Send less data, or have the operator "
                f"raise max.message.bytes of {self._topic}.",
            )
        if is_permanent(error):
            refused = RecordRefusedError(
                f"{self._topic} refuses the event: {cause}. Check the topic and the rights of this "
                "client.",
                field=self._topic,
            )
            refused.__cause__ = error
            return refused
        return _failed(cause)

    def _finish(self, writes: Sequence[PendingRecord], error: HooksealError | None) -> None:
        if not writes:
            return
        self._queued_bytes -= sum(write.size for write in writes)
        if not self._queued_bytes:
            self._idle.set()
        self._on_ended(writes, error is None)
        for write in writes:
            for ack in write.pending_acks:
                if error is None:
                    ack.one_less()
                else:
                    ack.failed(error)
            write.pending_acks = []

    async def _keep_connected(self) -> None:
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        while True:
            await self._lost.wait()
            try:
                client = await self._connect()
            except BrokerError as error:
                self._reason, pause_s = error, delay.next_s()
                _log.warning("%s Retrying in %.1f s.", error.message, pause_s)
                for writer in self._writers:
                    # A part of an earlier request may wait here. New requests are refused at once.
                    self._finish(writer.drop_all(), _failed("no broker answers"))
                await asyncio.sleep(pause_s)
                continue
            delay.reset()
            self._lost.clear()
            self._client, self._reason = client, None
            self._wake.set()
            old, self._failed = self._failed, None
            if old is not None:
                await self._discard(old)
                # The next write may fail as well: do not reconnect without a pause.
                await asyncio.sleep(_PAUSE_S)

    async def _connect(self) -> AIOKafkaProducer:
        # Check first: a broker may create a topic that a producer asks about.
        try:
            found = await partitions_of(self._cluster, [self._topic])
        except (KafkaError, OSError) as error:
            raise self._cluster.unreachable() from error
        if self._topic not in found:
            raise topic_missing(self._topic)
        client = await connect(
            self._cluster,
            max_batch_size=_BATCH_MAX_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            await client.partitions_for(self._topic)
        except (KafkaError, OSError) as error:
            await client.stop()
            raise self._cluster.unreachable() from error
        except BaseException:
            await client.stop()
            raise
        for partition in range(len(self._writers), found[self._topic]):
            self._writers.append(
                PartitionWriter(self._topic, partition, on_ended=self._on_batch_ended)
            )
        return client

    async def _discard(self, client: AIOKafkaProducer) -> None:
        try:
            # Without a limit it would wait for batches in progress while Kafka is down.
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await client.stop()
        except BaseException as error:
            # stop() cannot be called twice. Fail its batches for the requests that wait.
            client._message_accumulator.fail_all(KafkaTimeoutError())  # noqa: SLF001
            if (task := client._sender.sender_task) is not None:  # noqa: SLF001
                task.cancel()
            await client.client.close()
            if not isinstance(error, TimeoutError):
                raise


def _failed(why: str) -> BrokerError:
    return BrokerError(
        "publish_failed", f"The write may have failed: {why}. Send the events again with their ids."
    )
