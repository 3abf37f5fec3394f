"""Publishes to `events` for the API: acknowledged, and once per event id within a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.record import Position
from hookseal.errors import EventIdReusedError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames
from hookseal.publishing.deduplication import Published, RecentIds, fingerprint_of, mark_of
from hookseal.publishing.follower import EventFollower
from hookseal.publishing.partition_writer import PendingRecord
from hookseal.publishing.writer import EventWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.errors import BrokerError
    from hookseal.kafka.cluster import Cluster

REPEAT_WINDOW_S = 600.0
# Records that one call may write, copies of broadcasts included.
_WRITES_MAX = 20_000


class EventLog:
    """Publishes events; a duplicate gets the position of its first copy.

    It remembers the ids that it wrote, and follows `events` for ids of other processes and of
    earlier runs.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        now: Callable[[], float],
        timeout_s: float,
        ids_max: int = 200_000,
        window_s: float = REPEAT_WINDOW_S,
        sealing: Callable[[NewEvent], NewEvent] = lambda draft: draft,
    ) -> None:
        """Remember at most `ids_max` ids, each for `window_s` seconds.

        An event must be acknowledged within `timeout_s` seconds. `now` returns Unix seconds.
        `sealing` transforms an event before it is written; it is deterministic.
        """
        self._sealing = sealing
        topic = TopicNames(cluster.topic_prefix).events
        self._now = now
        self._recent = RecentIds(ids_max=ids_max, window_s=window_s)
        self._under_way: dict[bytes, PendingRecord] = {}
        self._writer = EventWriter(cluster, topic, timeout_s=timeout_s, ended=self._ended)
        self._follower = EventFollower(
            cluster, topic, recent=self._recent, records_max=ids_max, window_s=window_s, now=now
        )

    async def start(self) -> None:
        """Connect in the background; returns at once, also while Kafka is away."""
        await self._writer.start()
        await self._follower.start()

    async def close(self) -> None:
        """Wait some seconds at most for records in progress, then disconnect."""
        await self._writer.close()
        await self._follower.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def why_not_ready(self) -> BrokerError | None:
        """Return why nothing can be published or duplicates are unknown; or None."""
        return self._writer.why_not_ready() or self._follower.why_not_ready()

    async def publish_many(self, drafts: Sequence[NewEvent]) -> list[tuple[Position, ...]]:
        """Publish events, in this order for each customer.

        An event whose id was published within the window is not written again.

        Args:
            drafts: In order.

        Returns:
            For each event the place of its record; of a broadcast those of all its copies,
            by partition.

        Raises:
            EventIdReusedError: One of the ids belongs to another event; nothing was written.
            InvalidInputError: `batch_too_large`: nothing was written; `record_too_large`: one of
                them is over the limit of the topic, the others may have been written.
            BrokerError: `broker_unreachable`, `topic_missing`, `overloaded`: nothing was
                written; `publish_failed`: each may have been written, or may yet be;
                `record_refused`: one of them cannot be written, the others may have been.
        """
        partitions = self._writer.known_partitions()
        copies = sum(partitions if draft.is_broadcast else 1 for draft in drafts)
        if copies > _WRITES_MAX:
            raise InvalidInputError(
                "batch_too_large",
                f"A broadcast is a record on each of {partitions} partitions: these events make "
                f"{copies}, and at most {_WRITES_MAX} are written at once.",
            )
        fresh: list[PendingRecord] = []
        try:
            places = [
                self._places(index, self._sealing(draft), fresh, partitions)
                for index, draft in enumerate(drafts)
            ]
            self._writer.check_room(fresh)
        except BaseException:
            for write in fresh:
                self._forget(write)
            raise
        self._writer.put(fresh)
        # Each once: a batch may repeat itself.
        awaited = {
            id(place): place for of in places for place in of if isinstance(place, PendingRecord)
        }
        if awaited:
            await self._writer.wait(list(awaited.values()))
        return [tuple(Position(place.partition, place.offset) for place in of) for of in places]

    async def publish_once(self, notice: Notice) -> None:
        """Write the notice, or say that it could not be written.

        Raises:
            BrokerError: As `publish_many`.
        """
        customer_id = notice.customer_id
        partition = partition_of(customer_id, self._writer.known_partitions())
        write = PendingRecord(partition, customer_id.encode(), notice.value, notice.headers)
        self._writer.check_room([write])
        self._writer.put([write])
        await self._writer.wait([write])

    def _places(
        self, index: int, draft: NewEvent, fresh: list[PendingRecord], partitions: int
    ) -> list[PendingRecord | Published]:
        key, headers = draft.key, draft.headers
        if not draft.is_broadcast:
            homes: Iterable[int] = (partition_of(draft.customer_id, partitions),)
        else:
            homes = range(partitions)
        places: list[PendingRecord | Published] = []
        for home in homes:
            write = PendingRecord(home, key, draft.value, headers)
            known = self._known(index, draft, write) if draft.has_chosen_id else None
            if known is None:
                fresh.append(write)
            places.append(known or write)
        return places

    def _known(
        self, index: int, draft: NewEvent, write: PendingRecord
    ) -> PendingRecord | Published | None:
        """Return the earlier record of the write's id; without one, register this write."""
        write.mark = mark_of(
            draft.customer_id.encode(),
            (draft.event_id or "").encode(),
            write.partition if draft.is_broadcast else None,
        )
        write.fingerprint = fingerprint_of(write.value)
        known = self._under_way.get(write.mark) or self._recent.get(write.mark, now=self._now())
        if known is None:
            self._under_way[write.mark] = write
        elif known.fingerprint != write.fingerprint:
            raise EventIdReusedError(index)
        return known

    def _forget(self, write: PendingRecord) -> None:
        if write.mark is not None:
            del self._under_way[write.mark]

    def _ended(self, writes: Sequence[PendingRecord], is_written: bool) -> None:  # noqa: FBT001
        now = self._now()
        for write in writes:
            self._forget(write)
            if is_written and write.mark is not None:
                place = Published(write.fingerprint, write.partition, write.offset, now)
                self._recent.remember(write.mark, place)
        if is_written:
            # Records in a row: the follower need not read what was written here.
            self._follower.wrote(writes[0].partition, writes[0].offset, len(writes))
