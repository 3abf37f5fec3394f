"""The delivery log: one record per attempt on `deliveries`.

An attempt is encoded into a buffer, and a task sends whole batches every 0.25 s. No delivery waits
for it: records that Kafka does not acknowledge in time are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from hookseal.domain.attempt import encode, record_of
from hookseal.errors import BrokerError
from hookseal.kafka.producer import connect, is_permanent, is_too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiokafka import AIOKafkaProducer

    from hookseal.domain.attempt import Attempt
    from hookseal.domain.event import Event
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)

_LINGER_S = 0.25
_BATCH_BYTES = 256 * 1024
_BATCH_MIN_BYTES = 1024
# About 10 s of a busy worker, 5 MB.
_BUFFER_RECORDS = 20_000
_ACKNOWLEDGED_WITHIN_S = 5.0
_FLUSH_AT_CLOSE_S = 5.0
_RECONNECT_S = 5.0

_Buffered = tuple[int, bytes, bytes]


class KafkaAttemptLog:
    """`AttemptLog` on the topic `deliveries`."""

    def __init__(
        self,
        cluster: Cluster,
        names: TopicNames,
        *,
        on_dropped: Callable[[int], None],
        buffer_records: int = _BUFFER_RECORDS,
    ) -> None:
        """Keep at most `buffer_records` in memory; `on_dropped` gets the count of dropped ones."""
        self._cluster = cluster
        self._topic = names.deliveries
        self._on_dropped = on_dropped
        self._buffer_max = buffer_records
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._buffers: dict[int, list[_Buffered]] = defaultdict(list)
        self._buffered = 0
        self._client: AIOKafkaProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._batch_bytes = _BATCH_BYTES

    async def start(self) -> None:
        """Start to write. Never fails: without a broker, the records are dropped."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Write the buffered records within a few seconds, then disconnect."""
        if self._task is None:
            return
        self._stopping.set()
        await asyncio.wait((self._task,))
        self._task = None
        if self._buffered:
            await self._flush()
        await self._disconnect()

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        """Buffer one attempt; returns at once."""
        if self._buffered >= self._buffer_max:
            self._on_dropped(1)
            return
        now = time.time()
        value = encode(record_of(event, customer_id, attempt, at=now, worker=self._worker))
        # The event's partition, also if its key belongs to another one: an event and its attempts
        # have the same partition number.
        self._buffers[event.record.partition].append((int(now * 1000), customer_id.encode(), value))
        self._buffered += 1

    async def _run(self) -> None:
        pause_s = _LINGER_S
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = _LINGER_S
            if self._buffered and not self._stopping.is_set() and not await self._flush():
                # The buffer keeps new records meanwhile.
                pause_s = _RECONNECT_S

    async def _flush(self) -> bool:
        """Write the buffered records; return whether a broker answered."""
        client = await self._connected()
        if client is None:
            return False
        buffers, self._buffers, self._buffered = self._buffers, defaultdict(list), 0
        taken = sum(map(len, buffers.values()))
        written = 0
        failed: set[str] = set()
        try:
            async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_S):
                sent: list[tuple[int, asyncio.Future[Any]]] = []
                for partition, records in buffers.items():
                    with self._collecting(failed):
                        for batch in _batches(client, records):
                            future = await client.send_batch(
                                batch, self._topic, partition=partition
                            )
                            future.add_done_callback(_retrieve_exception)
                            sent.append((batch.record_count(), future))
                for count, future in sent:
                    with self._collecting(failed):
                        await future
                        written += count
        except (KafkaError, TimeoutError) as error:
            failed.add(type(error).__name__)
        if failed:
            _log.warning("The delivery log was not written: %s", ", ".join(sorted(failed)))
            await self._disconnect()
        if taken > written:
            self._on_dropped(taken - written)
        return written > 0

    @contextmanager
    def _collecting(self, failed: set[str]) -> Iterator[None]:
        """Add a permanent error of one partition to `failed`, and continue with the others."""
        try:
            yield
        except Exception as error:
            if not is_permanent(error):
                raise
            failed.add(type(error).__name__)
            if is_too_large(error):
                # The topic has a lower limit than hookseal. The next batches will fit.
                self._batch_bytes = max(_BATCH_MIN_BYTES, self._batch_bytes // 2)

    async def _connected(self) -> AIOKafkaProducer | None:
        if self._client is None:
            with suppress(BrokerError):
                self._client = await connect(
                    self._cluster,
                    # One acknowledgement is enough for a log that may have gaps.
                    acks=1,
                    max_batch_size=self._batch_bytes,
                    request_timeout_ms=int(_ACKNOWLEDGED_WITHIN_S * 1000),
                )
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_FLUSH_AT_CLOSE_S):
                    await client.stop()


def _batches(client: AIOKafkaProducer, records: list[_Buffered]) -> list[Any]:
    batches = [client.create_batch()]
    for timestamp_ms, key, value in records:
        if batches[-1].append(key=key, value=value, timestamp=timestamp_ms) is None:
            batches.append(client.create_batch())
            batches[-1].append(key=key, value=value, timestamp=timestamp_ms)
    for batch in batches:
        batch.close()
    return batches


def _retrieve_exception(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a future that nothing awaits any more."""
    if not future.cancelled():
        future.exception()
