"""Replays dead letters by a filter, or the events of an endpoint from a time on."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aiokafka import TopicPartition

from hookseal.dead_letters.replay.items import (
    batches,
    event_items,
    letter_items,
    plan_of,
    to_replay,
)
from hookseal.dead_letters.replay.lease import (
    ItemRefusedError,
    ReplayFencedError,
    ReplayLease,
    replay_busy,
)
from hookseal.delivery.limits.concurrency import FairSemaphore
from hookseal.errors import BrokerError, ConflictError
from hookseal.kafka.consumer import read_from, record_from, records_at
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames, partition_count
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hookseal.dead_letters.index.letters import LetterIndex
    from hookseal.dead_letters.replay.items import EventsWanted
    from hookseal.domain.letter import ReplayPlan
    from hookseal.domain.letter_filter import LetterFilter
    from hookseal.kafka.cluster import Cluster

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_BATCH_MAX_RECORDS = 500
_PARALLEL_PARTITIONS = 6
# A replay of events may read far more than it publishes.
_EVENTS_READ_S = 10.0
_TRIES = 6
# Each refused item costs a claim of its partition. So many have one cause.
_REFUSED_MAX = 20
_PAUSE_S = 1.0
_PAUSE_CAP_S = 16.0
_FENCED_PAUSE_S = 0.5
_random = random.SystemRandom()


class Replayer:
    """Replays on a cluster. Has no connection between two replays."""

    def __init__(self, cluster: Cluster, index: LetterIndex, *, event_max_bytes: int) -> None:
        """Use a started index. Events above `event_max_bytes` are skipped, as workers do."""
        self._cluster = cluster
        self._names = TopicNames(cluster.topic_prefix)
        self._index = index
        self._event_max_bytes = event_max_bytes
        self._turns = ReplayTurns()

    async def plan(self, wanted: LetterFilter) -> ReplayPlan:
        """Return what `replay` would do; does not wait for the index."""
        return await plan_of(self._index, wanted)

    async def replay(
        self, wanted: LetterFilter, *, limit: int | None = None, wait_s: float | None = None
    ) -> int:
        """Publish the events of at most `limit` letters again; return how many were published.

        Each letter is published once, ever, in the order of its partition, for the endpoint that it
        names. Letters that were replayed before, or are written meanwhile, are not included.
        `wait_s` limits the wait for another replay of the partition; None = no limit.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`, if nothing was published.
            ConflictError: `replay_busy`, if nothing was published; `replay_refused` names the
                first dead letter that Kafka refuses. All other letters are published.
        """
        todo = to_replay(wanted)
        await self._index.catch_up()
        ends = await self._index.ends()
        run = _Run(limit)
        permits = asyncio.Semaphore(_PARALLEL_PARTITIONS)

        async def replay_partition(partition: int) -> None:
            end = ends[TopicPartition(self._names.dead_letters, partition)]

            async def publish(lease: ReplayLease) -> None:
                await self._letters(lease, todo, end, run)

            async with permits:
                if run.left != 0:
                    await self._leased(partition, wanted.customer_id or "", wait_s, publish)

        # An error of one partition does not cancel the others.
        partitions = sorted(await self._index.counts(todo))
        results = await asyncio.gather(*map(replay_partition, partitions), return_exceptions=True)
        for result in results:
            # A temporary error is raised only if nothing was published: the caller would not get
            # the count of the other partitions. Its next request includes this partition.
            is_temporary = isinstance(result, BrokerError) or (
                isinstance(result, ConflictError) and result.code == "replay_busy"
            )
            if result is not None and not (is_temporary and run.done):
                raise result
        return run.done

    async def replay_events(
        self, wanted: EventsWanted, *, start: int = 0, limit: int, wait_s: float | None = None
    ) -> tuple[int, int | None]:
        """Publish at most `limit` events of an endpoint again, from offset `start` on.

        Return how many were published, and the offset to go on from; None = all are published.
        Each event is published once for equal `wanted`, in order, up to the end of the topic when
        the first replay of `wanted` began. Replays among the events are skipped. Errors: as
        `replay`.
        """
        partition = partition_of(wanted.customer_id, await partition_count(self._cluster))
        run = _Run(limit)

        async def publish(lease: ReplayLease) -> int | None:
            return await self._events(lease, wanted, start, run)

        goes_on = await self._leased(partition, wanted.customer_id, wait_s, publish)
        return run.done, goes_on

    async def _leased(
        self,
        partition: int,
        customer_id: str,
        wait_s: float | None,
        publish: Callable[[ReplayLease], Awaitable[_T]],
    ) -> _T:
        """Claim the partition and publish; retry if Kafka fails or the lease is lost.

        An item that Kafka refuses is left out. Its error is raised once the others are published.
        """
        tries = 0
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        lease = ReplayLease(self._cluster, self._names, partition)
        async with self._turns.turn(partition, customer_id, wait_s) as left_s:
            while True:
                try:
                    await lease.claim(wait_s=left_s)
                    result = await publish(lease)
                except ItemRefusedError as error:
                    _log.error("%s", error.message)
                    if len(lease.refused) >= _REFUSED_MAX:
                        raise
                except ReplayFencedError:
                    _log.info("Another process replays on partition %d.", partition)
                    # Two processes that claim at once fence each other. A random pause ends that:
                    # the second one then sees the heartbeat of the first.
                    await asyncio.sleep(_FENCED_PAUSE_S * (1 + _random.random()))
                except BrokerError as error:
                    tries += 1
                    if tries >= _TRIES:
                        raise
                    _log.warning("%s", error.message)
                    await asyncio.sleep(delay.next_s())
                else:
                    if lease.refused:
                        raise next(iter(lease.refused.values()))
                    return result
                finally:
                    await lease.release()

    async def _letters(self, lease: ReplayLease, todo: LetterFilter, end: int, run: _Run) -> None:
        # Read the ledger first: it has what an earlier holder published.
        await self._index.catch_up(at_least=lease.ledger_end)
        partition = lease.events.partition
        tp = TopicPartition(self._names.dead_letters, partition)
        after = -1
        async with read_from(self._cluster) as client:
            while count := run.reserve():
                try:
                    expected = await self._index.offsets(
                        todo, partition, after=after, before=end, limit=count
                    )
                    if not expected:
                        break
                    offsets = [offset for offset in expected if offset not in lease.refused]
                    records = map(record_from, await records_at(client, tp, offsets))
                    for batch in batches(letter_items(records, expected)):
                        await lease.publish(batch)
                        run.done += len(batch)
                        count -= len(batch)
                finally:
                    run.give_back(count)
                after = max(expected)
        # The next query then sees the replays.
        await self._index.catch_up(at_least=lease.ledger_end)

    async def _events(
        self, lease: ReplayLease, wanted: EventsWanted, start: int, run: _Run
    ) -> int | None:
        await self._index.catch_up(at_least=lease.ledger_end)
        tp = lease.events
        upto, end = await self._index.job(wanted.job, tp.partition)
        deadline = time.monotonic() + _EVENTS_READ_S
        async with read_from(self._cluster) as client:
            client.assign([tp])
            if end < 0:
                end = (await client.end_offsets([tp]))[tp]
                await lease.publish((), job=wanted.job, job_to=end)
            found = (await client.offsets_for_times({tp: wanted.since_ms}))[tp]
            if found is None:
                return None
            first = (await client.beginning_offsets([tp]))[tp]
            position: int = max(found.offset, upto + 1, first, start)
            client.seek(tp, position)
            while position < end:
                if not run.left or time.monotonic() > deadline:
                    return position
                fetched = await client.getmany(timeout_ms=1000, max_records=_BATCH_MAX_RECORDS)
                records = [
                    record_from(record)
                    for record in fetched.get(tp, ())
                    if record.offset < end and record.offset not in lease.refused
                ]
                items = list(event_items(records, wanted, self._event_max_bytes))
                for batch in batches(items[: run.left]):
                    await lease.publish(batch, job=wanted.job, job_to=end)
                    run.done += len(batch)
                    run.give_back(-len(batch))
                    position = batch[-1].offset + 1
                if run.left or position > items[-1].offset:
                    position = await client.position(tp)
        return None


@dataclass(slots=True)
class _Run:
    """Progress of one replay over all its partitions; `left` None = no limit."""

    left: int | None
    done: int = 0

    def reserve(self) -> int:
        """Return how many records the caller may publish next; 0 = no more."""
        count = _BATCH_MAX_RECORDS if self.left is None else min(_BATCH_MAX_RECORDS, self.left)
        self.give_back(-count)
        return count

    def give_back(self, count: int) -> None:
        """Return unused reservations."""
        if self.left is not None:
            self.left += count


class ReplayTurns:
    """Runs one replay per partition at a time in this process; tenants take turns.

    Otherwise a tenant with eight replay loops would get the lease eight times out of nine.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._permits: dict[int, FairSemaphore] = defaultdict(lambda: FairSemaphore(1, None))

    @asynccontextmanager
    async def turn(
        self, partition: int, customer_id: str, wait_s: float | None
    ) -> AsyncIterator[float | None]:
        """Hold the turn of a tenant; yield the seconds that are left of `wait_s`.

        `wait_s` None = no limit. Replays of one tenant run in the order of their calls.

        Raises:
            ConflictError: `replay_busy`, after `wait_s` seconds.
        """
        permit, began = self._permits[partition], self._now()
        try:
            async with asyncio.timeout(wait_s):
                await permit.acquire(customer_id)
        except TimeoutError:
            raise replay_busy() from None
        try:
            yield None if wait_s is None else max(0.0, wait_s - (self._now() - began))
        finally:
            permit.release(customer_id)
