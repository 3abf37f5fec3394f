"""Replays dead letters by a filter, or an endpoint's events from a time on."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from hookseal.dead_letters.replay.items import event_items, letter_items
from hookseal.dead_letters.replay.lease import ItemRefusedError, ReplayFencedError, ReplayLease
from hookseal.dead_letters.replay.pace import Pace
from hookseal.dead_letters.replay.plan import plan_of, to_replay
from hookseal.dead_letters.replay.turns import ReplayTurns
from hookseal.errors import BrokerError, ConflictError
from hookseal.kafka.consumer import consume, record_from, records_at
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames
from hookseal.retry import RetryDelay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hookseal.dead_letters.index.letters import LetterIndex
    from hookseal.domain.letter import ReplayPlan
    from hookseal.domain.letter_filter import LetterFilter
    from hookseal.kafka.cluster import Cluster

_log = logging.getLogger(__name__)

_AT_A_TIME = 500
_PARTITIONS_AT_A_TIME = 6
_TRIES = 6
# Each refused item costs a claim of its partition. That many have one cause.
_REFUSED_MAX = 20
_PAUSE_S = 1.0
_PAUSE_CAP_S = 16.0
_ASIDE_S = 0.5
_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """An endpoint's events, accepted ones included, from a time on.

    Attributes:
        customer_id: Whose.
        endpoint_id: Where to, whether they came there before or not.
        since_ms: Written at this moment or later; milliseconds since the Unix epoch.
        until_ms: Written before this moment; None = up to the end when the replay begins.
        wants: Whether the endpoint subscribes to an event type.
        again: Any name: another replay of the same, after one that is done.
    """

    customer_id: str
    endpoint_id: str
    since_ms: int
    wants: Callable[[str], bool]
    until_ms: int | None = None
    again: str = ""

    @property
    def job(self) -> str:
        """Id under which an interrupted replay continues."""
        asked = (self.customer_id, self.endpoint_id, self.since_ms, self.until_ms, self.again)
        return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]


class Replayer:
    """Replays on a cluster. Holds no connection between two replays."""

    def __init__(self, cluster: Cluster, index: LetterIndex, *, event_max_bytes: int) -> None:
        """Use a started index. Events above `event_max_bytes` are skipped, as workers do."""
        self._cluster = cluster
        self._names = TopicNames(cluster.topic_prefix)
        self._index = index
        self._event_max_bytes = event_max_bytes
        self._turns = ReplayTurns()

    async def plan(self, wanted: LetterFilter) -> ReplayPlan:
        """Return what `replay` would do; does not wait for the index.

        Replayed letters are counted separately, whatever the filter says of them.
        """
        return await plan_of(self._index, wanted)

    async def replay(
        self,
        wanted: LetterFilter,
        *,
        limit: int | None = None,
        per_s: float | None = None,
        wait_s: float | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
        on_wait: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Publish the letters' events again; return how many were published.

        Each letter is published once, ever, in the order of its partition, for the endpoint that it
        names. Letters that are written meanwhile are not included.

        Args:
            wanted: Which letters; replayed ones are skipped.
            limit: At most so many.
            per_s: At most so many a second, over all partitions; None = no bound.
            wait_s: Seconds to wait where another replay is under way; None = until it ends.
            on_progress: Told how many more were published.
            on_wait: Told a partition on which another replay is under way.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`, if nothing was published.
            ConflictError: `replay_busy`, if nothing was published; `replay_refused` names the
                first dead letter that Kafka does not take. All others are published.
        """
        todo = to_replay(wanted)
        await self._index.catch_up()
        ends = await self._index.letter_ends()
        run = _Run(limit, Pace(per_s), on_progress)
        room = asyncio.Semaphore(_PARTITIONS_AT_A_TIME)

        async def letters_of(partition: int) -> None:
            async def publish(lease: ReplayLease) -> None:
                await self._letters(lease, todo, partition, ends[partition], run)

            async with room:
                if run.left != 0:
                    async with self._turns.turn(
                        partition, wanted.customer_id or "", wait_s
                    ) as left_s:
                        await self._holding(partition, publish, left_s, on_wait)

        # Each to its end: one partition's trouble is no reason to cut another one off.
        partitions = sorted(await self._index.counts(todo))
        results = await asyncio.gather(*map(letters_of, partitions), return_exceptions=True)
        for result in results:
            # What may succeed later is an error only if nothing was published: the count of the
            # other partitions would be lost. Whoever asks again tries this one again.
            is_temporary = isinstance(result, BrokerError) or (
                isinstance(result, ConflictError) and result.code == "replay_busy"
            )
            if result is not None and not (is_temporary and run.done):
                raise result
        return run.done

    async def replay_events(
        self,
        wanted: EventsWanted,
        *,
        partitions: int,
        per_s: float | None = None,
        wait_s: float | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
        on_wait: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Publish an endpoint's events again; return how many were published.

        Each event is published once for equal `EventsWanted`, in order, up to the topic's end when
        the replay began. Replays among the events are skipped.

        Args:
            wanted: Which.
            partitions: Of the topic `events`.
            per_s: As for `replay`.
            wait_s: As for `replay`.
            on_progress: As for `replay`.
            on_wait: As for `replay`.

        Raises:
            BrokerError: `broker_unreachable`, `publish_failed`.
            ConflictError: `replay_busy`; `replay_refused`, as for `replay`.
        """
        partition = partition_of(wanted.customer_id, partitions)
        run = _Run(None, Pace(per_s), on_progress)

        async def publish(lease: ReplayLease) -> None:
            await self._events(lease, wanted, partition, run)

        async with self._turns.turn(partition, wanted.customer_id, wait_s) as left_s:
            await self._holding(partition, publish, left_s, on_wait)
        return run.done

    async def _holding(
        self,
        partition: int,
        publish: Callable[[ReplayLease], Awaitable[None]],
        wait_s: float | None,
        on_wait: Callable[[int], None],
    ) -> None:
        """Claim the partition and publish; start again if Kafka or the claim was lost.

        An item that Kafka refuses is left out. Its error is raised once the others are published.
        """
        tries = 0
        delay = RetryDelay(_PAUSE_S, _PAUSE_CAP_S)
        lease = ReplayLease(self._cluster, self._names, partition)
        while True:
            try:
                await lease.claim(wait_s=wait_s, on_wait=on_wait)
                await publish(lease)
            except ItemRefusedError as error:
                _log.error("%s", error.message)
                if len(lease.refused) >= _REFUSED_MAX:
                    raise
            except ReplayFencedError:
                _log.info("Another process took partition %d over.", partition)
                # Two that claim at once fence each other; a moment that differs ends that,
                # and whoever is second finds the other one's sign of life.
                await asyncio.sleep(_ASIDE_S * (1 + _chance.random()))
            except BrokerError as error:
                tries += 1
                if tries >= _TRIES:
                    raise
                _log.warning("%s", error.message)
                await asyncio.sleep(delay.next_s())
            else:
                if lease.refused:
                    raise next(iter(lease.refused.values()))
                return
            finally:
                await lease.release()

    async def _letters(
        self, lease: ReplayLease, todo: LetterFilter, partition: int, end: int, run: _Run
    ) -> None:
        # Only now does the ledger have what an earlier holder published.
        await self._index.catch_up(ledger_to={partition: lease.ledger_to})
        place = TopicPartition(self._names.dead_letters, partition)
        after = -1
        async with consume(self._cluster) as letters:
            while room := run.reserve():
                try:
                    places = await self._index.places(
                        todo, partition, after=after, before=end, limit=room
                    )
                    if not places:
                        break
                    offsets = [offset for offset, _ in places if offset not in lease.refused]
                    records = await records_at(letters, place, offsets)
                    for batch in letter_items(map(record_from, records), dict(places)).batches():
                        await run.pace.take(len(batch))
                        await lease.publish(batch)
                        run.published(len(batch))
                        room -= len(batch)
                except KafkaError as error:
                    raise self._cluster.unreachable() from error
                finally:
                    run.give_back(room)
                after = places[-1][0]
        # So that the next query sees the replays.
        await self._index.catch_up(ledger_to={partition: lease.ledger_to})

    async def _events(
        self, lease: ReplayLease, wanted: EventsWanted, partition: int, run: _Run
    ) -> None:
        await self._index.catch_up(ledger_to={partition: lease.ledger_to})
        place = TopicPartition(self._names.events, partition)
        async with consume(self._cluster) as events:
            events.assign([place])
            upto, to = await self._index.job(wanted.job, partition)
            try:
                if to < 0:
                    to = (await events.end_offsets([place]))[place]
                    await lease.publish((), job=wanted.job, job_to=to)
                found = (await events.offsets_for_times({place: wanted.since_ms}))[place]
                if found is None:
                    return
                start = (await events.beginning_offsets([place]))[place]
                events.seek(place, max(found.offset, upto + 1, start))
                while await events.position(place) < to:
                    batches = await events.getmany(timeout_ms=1000, max_records=_AT_A_TIME)
                    records = [
                        one
                        for one in batches.get(place, ())
                        if one.offset < to and one.offset not in lease.refused
                    ]
                    items = event_items(records, wanted, self._event_max_bytes)
                    for batch in items.batches():
                        await run.pace.take(len(batch))
                        await lease.publish(batch, job=wanted.job, job_to=to)
                        run.published(len(batch))
            except KafkaError as error:
                raise self._cluster.unreachable() from error


class _Run:
    """Progress of one replay over all its partitions."""

    def __init__(self, limit: int | None, pace: Pace, on_progress: Callable[[int], None]) -> None:
        self.left = limit
        self.pace = pace
        self.done = 0
        self._on_progress = on_progress
        # No batch takes longer than about a second, so that the ledger shows a sign of life.
        slowest = _AT_A_TIME if pace.per_s is None else max(1, int(pace.per_s))
        self._at_a_time = min(_AT_A_TIME, slowest)

    def reserve(self) -> int:
        """Return how many records may be published next; 0 = no more."""
        room = self._at_a_time if self.left is None else min(self._at_a_time, self.left)
        self.give_back(-room)
        return room

    def give_back(self, count: int) -> None:
        """Return unused reservations."""
        if self.left is not None:
            self.left += count

    def published(self, count: int) -> None:
        """Count published records."""
        self.done += count
        self._on_progress(count)
