"""The exclusive right to replay on one partition, and the ledger of its replays.

Each record is published exactly once, whichever process is killed and however many start at once:

- The holder of a partition opens a producer with the partition's transactional id. From then on the
  broker refuses every write of an earlier holder, even if that one was only frozen. The transaction
  is used for this fence alone.
- Replays and their ledger entry are written in one transaction. Writes of an earlier holder count,
  committed or not, since workers deliver them either way. The new holder reads `events` from the
  position in the ledger, finds the replay marks, and enters them before it publishes.
- A live holder writes to the ledger every few seconds, and others wait for it. To fence it would be
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
from contextlib import suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from hookseal.dead_letters.replay.turns import replay_busy
from hookseal.domain.event import REPLAY_HEADER, REROUTED_HEADER
from hookseal.domain.record import last_header
from hookseal.domain.replay import ReplayEntry, decode, encode, parse_mark
from hookseal.errors import BrokerError, ConflictError
from hookseal.kafka.consumer import consume, read_ranges
from hookseal.kafka.producer import REQUEST_MAX_BYTES, connect, enqueue, is_permanent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.structs import RecordMetadata

    from hookseal.domain.record import Headers
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.topics import TopicNames

_log = logging.getLogger(__name__)

LEASE_S = 10.0
_LOOK_EVERY_S = 0.25
_HEARTBEAT_S = 2.0
_CLOSE_S = 5.0
# The client itself waits for its coordinator for as long as it takes.
_KAFKA_S = 45.0
# The broker ends what a killed holder left open; nobody waits for it but readers of
# committed records alone, which workers are not.
_TRANSACTION_S = 60.0
_TAIL = 64
_PID = re.compile(r"[0-9]{1,10}")
_BATCH_BYTES = 512 * 1024


class ReplayFencedError(Exception):
    """Another process took over the partition; its replays are in the ledger."""


class ItemRefusedError(ConflictError):
    """`replay_refused`: Kafka does not take one item; nothing of its batch was committed.

    Attributes:
        offset: The item's.
    """

    def __init__(self, topic: str, partition: int, offset: int, cause: BaseException) -> None:
        super().__init__(
            "replay_refused",
            f"The record {partition}/{offset} of {topic} cannot be published again: "
            f"{type(cause).__name__}. Raise max.message.bytes of `events`, or leave it out.",
            field=f"{partition}/{offset}",
        )
        self.offset = offset


class Item(NamedTuple):
    """One record to publish.

    Attributes:
        offset: Of the dead letter, or of the event.
        timestamp_ms: Of the same.
        key: The customer id.
        value: The event's bytes.
        headers: With the mark.
    """

    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers


class ReplayLease:
    """The right to replay on one partition: claim it, publish, release it.

    Attributes:
        refused: The items that Kafka did not take, by offset.
    """

    def __init__(self, cluster: Cluster, names: TopicNames, partition: int) -> None:
        self._cluster = cluster
        self._events = TopicPartition(names.events, partition)
        self._ledger = TopicPartition(names.replays, partition)
        self._letters_topic = names.dead_letters
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.refused: dict[int, ItemRefusedError] = {}
        self._producer: AIOKafkaProducer | None = None
        self._events_to = 0
        self._ledger_to = 0

    @property
    def ledger_to(self) -> int:
        """The offset on `replays` behind this holder's last entry.

        Read the ledger up to here before you decide by it. A commit is acknowledged before readers
        of committed records see it, so the topic's end offset may be too low.
        """
        return self._ledger_to

    async def claim(
        self, *, wait_s: float | None = None, on_wait: Callable[[int], None] = lambda _: None
    ) -> None:
        """Claim the partition; enter what an earlier holder wrote and did not enter.

        Args:
            wait_s: Seconds to wait for another holder; None = as long as it lives.
            on_wait: Told the partition when there is something to wait for.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: `replay_busy`, after `wait_s` seconds.
            ReplayFencedError: Somebody else claimed it at the same time.
        """
        try:
            async with consume(self._cluster, committed=True) as committed:
                await self._wait(committed, wait_s, on_wait)
                self._producer = await self._fenced()
                last = await self._last_entry(committed)
            await self._recover(last)
        except ProducerFenced:
            await self.close()
            raise ReplayFencedError from None
        except (KafkaError, OSError) as error:
            await self.close()
            raise self._failed(error) from error
        except BaseException:
            await self.close()
            raise

    async def publish(self, items: Sequence[Item], *, job: str = "", job_to: int = -1) -> None:
        """Publish in this order; return once everything is committed, with its ledger entry.

        Args:
            items: What; none only says that this holder lives.
            job: Empty for dead letters.
            job_to: Offset on `events` up to which the job goes.

        Raises:
            BrokerError: `publish_failed`. Part of it may have been written: whoever claims
                the partition next finds out.
            ItemRefusedError: `replay_refused`. The partition is released; claim it again to go
                on without the item.
            ReplayFencedError: Another process took over.
        """
        replayed = [(item.offset, item.timestamp_ms) for item in items]
        try:
            await self._commit(items, [self._entry(job=job, replayed=replayed, job_to=job_to)])
        except ProducerFenced:
            await self.close()
            raise ReplayFencedError from None
        except (KafkaError, OSError) as error:
            await self.close()
            raise self._failed(error) from error
        except BaseException:
            # The transaction is open; a new producer of this partition aborts it.
            await self.close()
            raise

    async def release(self) -> None:
        """Write to the ledger that the partition is free, and disconnect."""
        if self._producer is not None:
            # If it cannot be said others wait for the lease to end, no more.
            with suppress(KafkaError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._commit((), [self._entry(released=True)])
        await self.close()

    async def close(self) -> None:
        """Disconnect without a ledger entry."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await producer.stop()

    async def _wait(
        self,
        committed: AIOKafkaConsumer,
        wait_s: float | None,
        on_wait: Callable[[int], None],
    ) -> None:
        began = time.monotonic()
        seen: ReplayEntry | None = None
        since = began
        while self._is_held(last := await self._last_entry(committed)):
            now = time.monotonic()
            if last != seen:
                seen, since = last, now
            elif now - since > LEASE_S:
                # Whatever its clock says: it has not moved for as long as a lease lasts.
                return
            if wait_s is not None and now - began >= wait_s:
                raise replay_busy()
            on_wait(self._ledger.partition)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _is_held(self, last: ReplayEntry | None) -> bool:
        # Our own last entry is no reason to wait: the partition was lost to an error.
        return last is not None and last.holder != self._holder and _is_held(last)

    async def _fenced(self) -> AIOKafkaProducer:
        fence: dict[str, Any] = {}
        if self._cluster.idempotence:
            fence = {
                "transactional_id": f"{self._cluster.app_id}-replay-{self._ledger.partition}",
                "transaction_timeout_ms": int(_TRANSACTION_S * 1000),
            }
        try:
            async with asyncio.timeout(_KAFKA_S):
                return await connect(
                    self._cluster,
                    **fence,
                    max_request_size=REQUEST_MAX_BYTES,
                    max_batch_size=_BATCH_BYTES,
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
            # Nothing but markers of transactions.
            back *= 8
        return None

    async def _recover(self, last: ReplayEntry | None) -> None:
        """Enter what the earlier holder wrote and did not enter."""
        async with consume(self._cluster) as events:
            end = (await events.end_offsets([self._events]))[self._events]
            entries: list[ReplayEntry] = []
            if last is not None and not last.released:
                self._events_to = last.events_to
                by_job = await self._marks(events, last.events_to, end)
                entries = [
                    self._entry(job=job, replayed=replayed) for job, replayed in by_job.items()
                ]
            self._events_to = end
        await self._commit((), [*entries, self._entry()])

    async def _marks(
        self, events: AIOKafkaConsumer, start: int, end: int
    ) -> dict[str, list[tuple[int, int]]]:
        first = (await events.beginning_offsets([self._events]))[self._events]
        found: dict[str, list[tuple[int, int]]] = {}
        told = time.monotonic()
        async for record in read_ranges(events, {self._events: (max(start, first), end)}):
            self._note(record.headers, found)
            if time.monotonic() - told > _HEARTBEAT_S:
                await self._commit((), [self._entry()])
                told = time.monotonic()
        return found

    def _note(self, headers: Headers, found: dict[str, list[tuple[int, int]]]) -> None:
        value = last_header(headers, REPLAY_HEADER)
        if value is None or last_header(headers, REROUTED_HEADER) is not None:
            # A worker's copy of a replay from another partition: its holder knows of it.
            return
        mark = parse_mark(value)
        own = self._letters_topic if mark is None or not mark.job else self._events.topic
        if mark is not None and (mark.topic, mark.partition) == (own, self._events.partition):
            found.setdefault(mark.job, []).append((mark.offset, mark.timestamp_ms))

    async def _commit(self, items: Sequence[Item], entries: Iterable[ReplayEntry]) -> None:
        try:
            async with asyncio.timeout(_KAFKA_S):
                await self._transact(items, entries)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # aiokafka cancels whoever waits for a producer that is fenced meanwhile.
            raise ProducerFenced from None

    async def _transact(self, items: Sequence[Item], entries: Iterable[ReplayEntry]) -> None:
        client = self._producer
        if client is None:
            raise self._failed(None)
        if self._cluster.idempotence:
            await client.begin_transaction()
        sent = [await self._enqueue(client, item) for item in items]
        results = await asyncio.gather(*sent, return_exceptions=True)
        refused = [
            (len(item.value), item, result)
            for item, result in zip(items, results, strict=True)
            if isinstance(result, BaseException) and is_permanent(result)
        ]
        if refused:
            # The broker refuses a batch as a whole: its largest record is the likeliest cause.
            _, item, error = max(refused, key=itemgetter(0))
            raise self._refused(item, error) from error
        for result in results:
            if isinstance(result, BaseException):
                raise result
            self._events_to = max(self._events_to, result.offset + 1)
        for entry in entries:
            written = await client.send_and_wait(
                self._ledger.topic,
                partition=self._ledger.partition,
                value=encode(_at(entry, self._events_to if items else entry.events_to)),
            )
            self._ledger_to = written.offset + 1
        if self._cluster.idempotence:
            await client.commit_transaction()

    async def _enqueue(
        self, client: AIOKafkaProducer, item: Item
    ) -> asyncio.Future[RecordMetadata]:
        try:
            return await enqueue(
                client,
                self._events.topic,
                partition=self._events.partition,
                key=item.key,
                value=item.value,
                headers=item.headers,
                is_transactional=self._cluster.idempotence,
            )
        except Exception as error:
            if is_permanent(error):
                raise self._refused(item, error) from error
            raise

    def _refused(self, item: Item, error: BaseException) -> ItemRefusedError:
        mark = parse_mark(last_header(item.headers, REPLAY_HEADER) or b"")
        topic = self._letters_topic if mark is None else mark.topic
        refused = ItemRefusedError(topic, self._events.partition, item.offset, error)
        return self.refused.setdefault(item.offset, refused)

    def _entry(self, **what: Any) -> ReplayEntry:
        return ReplayEntry(
            holder=self._holder, at_ms=int(time.time() * 1000), events_to=self._events_to, **what
        )

    def _failed(self, error: Exception | None) -> BrokerError:
        cause = "" if error is None else f": {type(error).__name__}"
        return BrokerError(
            "publish_failed",
            f"Replaying on partition {self._ledger.partition} failed{cause}. Start it again: "
            "what was published already is not published twice.",
        )


def _at(entry: ReplayEntry, events_to: int) -> ReplayEntry:
    return ReplayEntry(
        **{
            **{name: getattr(entry, name) for name in entry.__struct_fields__},
            "events_to": events_to,
        }
    )


def _is_held(last: ReplayEntry) -> bool:
    if last.released or time.time() * 1000 - last.at_ms > LEASE_S * 1000:
        return False
    host, _, rest = last.holder.partition("/")
    pid = rest.partition("/")[0]
    # int() raises ValueError above 4,300 digits, and for some characters that are digits.
    if host != socket.gethostname() or not _PID.fullmatch(pid):
        return True
    # Of this host: no need to wait for a process that is not there any more.
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
