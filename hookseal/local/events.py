"""Events on their way into a store: published by the API, by us, or moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.event import EVENT_ID_HEADER, REROUTED_HEADER
from hookseal.errors import EventIdReusedError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.local.retry import retry_forever
from hookseal.local.store import Write
from hookseal.publishing.deduplication import fingerprint_of, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hookseal.delivery.ports import Clock
    from hookseal.domain.event import Event
    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.domain.record import Position
    from hookseal.errors import BrokerError
    from hookseal.local.store import Store

_WRITES_MAX = 20_000


class LocalEvents:
    """`Events` and `Notices` of the API, into a store.

    Args:
        sealing: Encrypts an event before it is written; deterministic.
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
        """Publish events, in this order for each customer.

        Raises:
            EventIdReusedError: An id belongs to another event; nothing was written.
            InvalidInputError: `batch_too_large`; nothing was written.
            BrokerError: `queue_full`: nothing was written; `redis_unreachable`: all of it may
                have been, or may yet be.
        """
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
                f"A broadcast is a record on each of {self._store.partitions} partitions: these "
                f"events make {len(writes)}, and at most {_WRITES_MAX} are written at once.",
            )
        try:
            places = iter(await self._store.publish(writes, room=self._room))
        except EventIdReusedError as error:
            raise EventIdReusedError(owners[error.index]) from None
        return [tuple(next(places) for _ in range(count)) for count in counts]

    async def publish_once(self, notice: Notice) -> None:
        """Write the notice, or say that it could not be written.

        Raises:
            BrokerError: As `publish_many`.
        """
        write = notice_of(notice, self._store.partitions)
        await self._store.publish([write], room=self._room)

    def _copies(self, draft: NewEvent) -> list[Write]:
        homes: Iterable[int] = range(self._store.partitions)
        if not draft.is_broadcast:
            homes = (partition_of(draft.customer_id, self._store.partitions),)
        return [
            Write(home, draft.key, draft.value, draft.headers, *_mark_of(draft, home))
            for home in homes
        ]


class LocalRouter:
    """`Router` over a store's partitions.

    The owner starts the store.
    """

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


def notice_of(notice: Notice, partitions: int) -> Write:
    """Return the notice as it is written."""
    home = partition_of(notice.customer_id, partitions)
    return Write(home, notice.customer_id.encode(), notice.value, notice.headers)


def _mark_of(draft: NewEvent, home: int) -> tuple[bytes | None, bytes]:
    if not draft.has_chosen_id:
        return None, b""
    mark = mark_of(
        draft.customer_id.encode(),
        (draft.event_id or "").encode(),
        home if draft.is_broadcast else None,
    )
    return mark, fingerprint_of(draft.value)
