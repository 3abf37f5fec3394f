"""Writes events into a store: published, rerouted, and hookseal's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.event import EVENT_ID_HEADER, REROUTED_HEADER
from hookseal.domain.event_trace import Search
from hookseal.errors import EventIdReusedError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.local.store import Write, retry_forever
from hookseal.publishing.deduplication import identity_of
from hookseal.publishing.event_search import EventMatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hookseal.delivery.ports import Clock
    from hookseal.domain.event import Event
    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.domain.record import Position
    from hookseal.errors import BrokerError
    from hookseal.local.store import Store

_WRITES_MAX = 20_000
_SEARCHED_MAX = 200_000
_SEARCHED_AT_ONCE = 500


class LocalEvents:
    """`Events` and `Notices` of the API, into a store.

    Args:
        room: Limit of unfinished events.
        sealing: Encrypts an event at rest; deterministic, so that a repeat has equal bytes.
    """

    def __init__(
        self,
        store: Store,
        *,
        room: int,
        sealing: Callable[[NewEvent], NewEvent] = lambda draft: draft,
    ) -> None:
        self._store = store
        self._room = room
        self._sealing = sealing

    def why_not_ready(self) -> BrokerError | None:
        return self._store.why_not_ready()

    async def publish_many(self, drafts: Sequence[NewEvent]) -> list[tuple[Position, ...]]:
        # After `redis_unreachable` all events may have been written, or none. After every other
        # error none was written.
        writes: list[Write] = []
        counts, owners = [], []
        for index, draft in enumerate(map(self._sealing, drafts)):
            copies = self._copies(draft)
            counts.append(len(copies))
            owners += [index] * len(copies)
            writes += copies
        if len(writes) > _WRITES_MAX:
            raise InvalidInputError(
                "batch_too_large",
                f"The batch has {len(writes):,} records, above the limit of {_WRITES_MAX:,}. A "
                f"broadcast counts as {self._store.partitions}, one per partition. Send fewer "
                "events per request.",
            )
        try:
            positions = iter(await self._store.publish(writes, room=self._room))
        except EventIdReusedError as error:
            raise EventIdReusedError(owners[error.index]) from None
        return [tuple(next(positions) for _ in range(count)) for count in counts]

    async def publish_once(self, notice: Notice) -> None:
        write = notice_write(notice, self._store.partitions)
        await self._store.publish([write], room=self._room)

    def _copies(self, draft: NewEvent) -> list[Write]:
        partitions: Iterable[int] = range(self._store.partitions)
        if not draft.is_broadcast:
            partitions = (partition_of(draft.customer_id, self._store.partitions),)
        return [
            Write(one, draft.key, draft.value, draft.headers, *identity_of(draft, one))
            for one in partitions
        ]


class LocalRouter:
    """`Router` over a store's partitions."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def partition_of(self, customer_id: str) -> int:
        return partition_of(customer_id, self._store.partitions)

    async def reroute(self, event: Event, partition: int) -> None:
        record = event.record
        write = Write(
            partition,
            record.key,
            record.value,
            (
                *record.headers,
                (EVENT_ID_HEADER, event.id.encode()),
                (REROUTED_HEADER, f"{record.partition}/{record.offset}".encode()),
            ),
            timestamp_ms=record.timestamp_ms,
        )
        await retry_forever(lambda: self._store.publish([write], room=None), self._clock)


def notice_write(notice: Notice, partitions: int) -> Write:
    """Return the record of a notice."""
    partition = partition_of(notice.customer_id, partitions)
    return Write(partition, notice.customer_id.encode(), notice.value, notice.headers)


class LocalEventSearch:
    """`EventSearch` of the API, over the unfinished events of a store."""

    def __init__(self, store: Store, *, event_max_bytes: int) -> None:
        self._store = store
        self._event_max_bytes = event_max_bytes

    async def find(self, event_id: str, customer_id: str | None, *, since_ms: int) -> Search:
        """Return the event if it is not delivered yet; raise `redis_unreachable`."""
        partitions = tuple(range(self._store.partitions))
        if customer_id is not None:
            partitions = (partition_of(customer_id, len(partitions)),)
        matcher = EventMatcher(event_id, customer_id, max_bytes=self._event_max_bytes)
        count = 0
        for partition in partitions:
            before, after = 0, -1
            while count < _SEARCHED_MAX:
                found = await self._store.events(partition, after, _SEARCHED_AT_ONCE, wait_s=0)
                if not found:
                    break
                for record in found:
                    match = matcher.match(record)
                    if match is not None and record.timestamp_ms >= since_ms:
                        return Search(match, partitions, count, waiting_before=before)
                    before += 1
                    count += 1
                after = found[-1].offset
        return Search(None, partitions, count, count < _SEARCHED_MAX, waiting_before=0)
