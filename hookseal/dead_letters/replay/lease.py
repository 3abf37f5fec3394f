"""The exclusive right to replay on one partition, and the ledger of its replays.

Each record is published exactly once, even if processes are killed or many start at once:

- The holder of a partition opens a producer with the partition's transactional id. From then on the
  broker refuses every write of an earlier holder, even of a frozen one. Transactions serve as this
  fence only.
- Replays and their ledger entry are written in one transaction. Writes of an earlier holder count,
  committed or not, because workers deliver both. The new holder reads `events` from the position in
  the ledger, finds the replay marks, and enters them in the ledger before it publishes.
- A live holder writes to the ledger every few seconds, and others wait for it. Fencing it would be
  safe, but would abort its work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from msgspec.structs import replace

from hookseal.domain.event import REPLAY_HEADER, REROUTED_HEADER
from hookseal.domain.record import last_header
from hookseal.domain.replay import ReplayEntry, decode, encode, parse_mark
from hookseal.errors import BrokerError, ConflictError
from hookseal.kafka.consumer import consume, read_ranges
from hookseal.kafka.producer import REQUEST_MAX_BYTES, connect, enqueue, is_permanent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    from hookseal.dead_letters.replay.items import Item
    from hookseal.domain.record import Headers
    from hookseal.domain.replay import Mark
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)

_LEASE_S = 10.0
_POLL_EVERY_S = 0.25
_HEARTBEAT_S = 2.0
_CLOSE_TIMEOUT_S = 5.0
# The client itself waits for its coordinator without a limit.
_KAFKA_TIMEOUT_S = 45.0
# The broker aborts the transaction of a killed holder. Until then the partition is not delivered,
# unless another replay claims it.
_TRANSACTION_TIMEOUT_S = 20.0
_TAIL = 64
_PID = re.compile(r"[0-9]{1,10}")
_BATCH_MAX_BYTES = 512 * 1024


class ReplayFencedError(Exception):
    """Another process took over the partition; its replays are in the ledger."""


class ItemRefusedError(ConflictError):
    """`replay_refused`: Kafka refuses one item; nothing of its batch was committed."""


def replay_busy() -> ConflictError:
    """Return the error for a replay that waited too long for another one."""
    return ConflictError(
        "replay_busy", "Another replay runs on this partition. Retry when it has ended."
    )


class ReplayLease:
    """The right to replay on one partition: claim it, publish, release it.

    Attributes:
        events: The partition of `events`.
        refused: The items that Kafka refused, by offset.
    """

    def __init__(self, cluster: Cluster, names: TopicNames, partition: int) -> None:
        self._cluster = cluster
        self.events = TopicPartition(names.events, partition)
        self._ledger = TopicPartition(names.replays, partition)
        self._letters_topic = names.dead_letters
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.refused: dict[int, ItemRefusedError] = {}
        self._producer: AIOKafkaProducer | None = None
        self._events_to = 0
        self._ledger_to = 0

    @property
    def ledger_end(self) -> dict[TopicPartition, int]:
        """The offset on `replays` behind this holder's last entry.

        Read the ledger up to this offset before you query it. Kafka acknowledges a commit before
        readers of committed records see it, so the end offset of the topic may be too low.
        """
        return {self._ledger: self._ledger_to}

    async def claim(self, *, wait_s: float | None = None) -> None:
        """Claim the partition; enter in the ledger what an earlier holder wrote and did not enter.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: `replay_busy`, after `wait_s` seconds.
            ReplayFencedError: Another process claimed the partition at the same time.
        """
        async with self._closed_on_error():
            async with consume(self._cluster) as committed:
                await self._wait(committed, wait_s)
                self._producer = await self._fence()
                last = await self._last_entry(committed)
            await self._recover(last)

    async def publish(self, items: Sequence[Item], *, job: str = "", job_to: int = -1) -> None:
        """Publish in this order; return once all items are committed with their ledger entry.

        `job` is empty for dead letters; `job_to` is the offset on `events` up to which it goes.

        Raises:
            BrokerError: `publish_failed`. Some items may have been written: the next claim of the
                partition finds them.
            ItemRefusedError: `replay_refused`. The partition is released; claim it again to go
                on without the item.
            ReplayFencedError: Another process took over.
        """
        replayed = [(item.offset, item.timestamp_ms) for item in items]
        async with self._closed_on_error():
            await self._commit(items, [self._entry(job=job, replayed=replayed, job_to=job_to)])

    async def release(self) -> None:
        """Write to the ledger that the partition is free, and disconnect."""
        if self._producer is not None:
            # If this fails, others wait until the lease ends.
            with suppress(KafkaError, OSError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await self._commit((), [self._entry(released=True)])
        await self._close()

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await producer.stop()

    @asynccontextmanager
    async def _closed_on_error(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as error:
            # The next producer of this partition aborts an open transaction.
            await self._close()
            if isinstance(error, ProducerFenced):
                raise ReplayFencedError from None
            if isinstance(error, (KafkaError, OSError)):
                raise self._failed(error) from error
            raise

    async def _wait(self, committed: AIOKafkaConsumer, wait_s: float | None) -> None:
        began = since = time.monotonic()
        seen: ReplayEntry | None = None
        while (last := await self._last_entry(committed)) is not None and is_held(last):
            now = time.monotonic()
            if last.holder == self._holder:
                # Our own entry: the producer was lost to an error.
                return
            if last != seen:
                seen, since = last, now
            elif now - since > _LEASE_S:
                # Without a new entry the lease has ended, whatever the clock of the holder says.
                return
            if wait_s is not None and now - began >= wait_s:
                raise replay_busy()
            await asyncio.sleep(_POLL_EVERY_S)

    async def _fence(self) -> AIOKafkaProducer:
        fence: dict[str, Any] = {}
        if self._cluster.idempotence:
            fence = {
                "transactional_id": f"{self._cluster.app_id}-replay-{self._ledger.partition}",
                "transaction_timeout_ms": int(_TRANSACTION_TIMEOUT_S * 1000),
            }
        try:
            async with asyncio.timeout(_KAFKA_TIMEOUT_S):
                return await connect(
                    self._cluster,
                    **fence,
                    max_request_size=REQUEST_MAX_BYTES,
                    max_batch_size=_BATCH_MAX_BYTES,
                    request_timeout_ms=30_000,
                )
        except TimeoutError as error:
            raise self._cluster.unreachable() from error

    async def _last_entry(self, committed: AIOKafkaConsumer) -> ReplayEntry | None:
        start = (await committed.beginning_offsets([self._ledger]))[self._ledger]
        end = (await committed.end_offsets([self._ledger]))[self._ledger]
        back = _TAIL
        while end > start:
            tail = {self._ledger: (max(start, end - back), end)}
            found: ReplayEntry | None = None
            async for record in read_ranges(committed, tail):
                found = decode(record.value or b"") or found
            if found is not None or back >= end - start:
                return found
            # The tail has only transaction markers.
            back *= 8
        return None

    async def _recover(self, last: ReplayEntry | None) -> None:
        """Enter in the ledger what the earlier holder wrote and did not enter.

        In a transaction, both are committed or none is. So only a holder without transactions
        (HOOKSEAL_KAFKA_IDEMPOTENCE=false) leaves such events.
        """
        async with consume(self._cluster) as events:
            end = (await events.end_offsets([self.events]))[self.events]
            entries: list[ReplayEntry] = []
            if last is not None and not last.released:
                self._events_to = last.events_to
                by_job = await self._marks(events, last.events_to, end)
                entries = [
                    self._entry(job=job, replayed=replayed) for job, replayed in by_job.items()
                ]
            self._events_to = max(self._events_to, end)
        await self._commit((), [*entries, self._entry()])

    async def _marks(
        self, events: AIOKafkaConsumer, start: int, end: int
    ) -> dict[str, list[tuple[int, int]]]:
        first = (await events.beginning_offsets([self.events]))[self.events]
        found: dict[str, list[tuple[int, int]]] = {}
        heartbeat = time.monotonic()
        async for record in read_ranges(events, {self.events: (max(start, first), end)}):
            if (mark := self._mark_of(record.headers)) is not None:
                found.setdefault(mark.job, []).append((mark.offset, mark.timestamp_ms))
            if time.monotonic() - heartbeat > _HEARTBEAT_S:
                await self._commit((), [self._entry()])
                heartbeat = time.monotonic()
        return found

    def _mark_of(self, headers: Headers) -> Mark | None:
        """Return the mark of a replay on this partition; None if the record is none."""
        value = last_header(headers, REPLAY_HEADER)
        if value is None or last_header(headers, REROUTED_HEADER) is not None:
            # A rerouted replay is in the ledger of the partition that it came from.
            return None
        mark = parse_mark(value)
        if mark is None or mark.partition != self.events.partition:
            return None
        own = self.events.topic if mark.job else self._letters_topic
        return mark if mark.topic == own else None

    async def _commit(self, items: Sequence[Item], entries: Iterable[ReplayEntry]) -> None:
        try:
            async with asyncio.timeout(_KAFKA_TIMEOUT_S):
                await self._transact(items, entries)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # aiokafka cancels calls to a producer that is fenced meanwhile.
            raise ProducerFenced from None

    async def _transact(self, items: Sequence[Item], entries: Iterable[ReplayEntry]) -> None:
        client = self._producer
        if client is None:
            raise self._failed(None)
        if self._cluster.idempotence:
            await client.begin_transaction()
        await self._publish_items(client, items)
        for entry in entries:
            written = await client.send_and_wait(
                self._ledger.topic,
                partition=self._ledger.partition,
                value=encode(replace(entry, events_to=self._events_to) if items else entry),
            )
            self._ledger_to = written.offset + 1
        if self._cluster.idempotence:
            await client.commit_transaction()

    async def _publish_items(self, client: AIOKafkaProducer, items: Sequence[Item]) -> None:
        sent = []
        for item in items:
            try:
                sent.append(
                    await enqueue(
                        client,
                        self.events.topic,
                        partition=self.events.partition,
                        key=item.key,
                        value=item.value,
                        headers=item.headers,
                        is_transactional=self._cluster.idempotence,
                    )
                )
            except Exception as error:
                if is_permanent(error):
                    raise self._refused(item, error) from error
                raise
        results = await asyncio.gather(*sent, return_exceptions=True)
        refused = {
            item: result
            for item, result in zip(items, results, strict=True)
            if isinstance(result, BaseException) and is_permanent(result)
        }
        if refused:
            # The broker refuses a whole batch. Its largest record is the most likely cause.
            item = max(refused, key=lambda item: len(item.value))
            raise self._refused(item, refused[item]) from refused[item]
        for result in results:
            if isinstance(result, BaseException):
                raise result
            self._events_to = max(self._events_to, result.offset + 1)

    def _refused(self, item: Item, error: BaseException) -> ItemRefusedError:
        mark = parse_mark(last_header(item.headers, REPLAY_HEADER) or b"")
        topic = self._letters_topic if mark is None else mark.topic
        record = f"{self.events.partition}/{item.offset}"
        refused = ItemRefusedError(
            "replay_refused",
            f"Kafka refuses to publish the record {record} of {topic} again: "
            f"{type(error).__name__}. Raise max.message.bytes of `events`, or leave it out.",
            field=record,
        )
        return self.refused.setdefault(item.offset, refused)

    def _entry(self, **what: Any) -> ReplayEntry:
        return ReplayEntry(
            holder=self._holder, at_ms=int(time.time() * 1000), events_to=self._events_to, **what
        )

    def _failed(self, error: Exception | None) -> BrokerError:
        cause = "" if error is None else f": {type(error).__name__}"
        return BrokerError(
            "publish_failed",
            f"The replay on partition {self._ledger.partition} failed{cause}. Start it again: "
            "no record is published twice.",
        )


def is_held(last: ReplayEntry) -> bool:
    """Return whether the holder of the last ledger entry still holds the partition."""
    if last.released or time.time() * 1000 - last.at_ms > _LEASE_S * 1000:
        return False
    host, _, rest = last.holder.partition("/")
    pid = rest.partition("/")[0]
    # int() raises ValueError above 4,300 digits, and for some characters that are digits.
    if host != socket.gethostname() or not _PID.fullmatch(pid):
        return True
    # A process of this host that has ended does not hold the partition.
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
