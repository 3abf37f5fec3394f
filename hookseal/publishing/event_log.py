"""Publishes to `events` for the API: acknowledged, and once per event id within a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hookseal.domain.event import SEALED_HEADER
from hookseal.domain.json_text import data_member
from hookseal.domain.record import Position
from hookseal.errors import EventIdReusedError, InvalidInputError
from hookseal.kafka.partitioner import partition_of
from hookseal.kafka.topics import TopicNames
from hookseal.publishing.deduplication import Published, RecentIds, identity_of
from hookseal.publishing.follower import EventFollower
from hookseal.publishing.partition_writer import PendingRecord
from hookseal.publishing.writer import EventWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from hookseal.domain.new_event import NewEvent, Notice
    from hookseal.errors import BrokerError
    from hookseal.kafka.cluster import Cluster
    from hookseal.seal.vault import EventVault

_WINDOW_S = 600.0
# Records that one call may write, copies of broadcasts included.
_WRITES_MAX = 20_000


class EventLog:
    """Publishes events. A duplicate, also of another process, gets the first copy's position."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        now: Callable[[], float],
        timeout_s: float,
        ids_max: int = 200_000,
        window_s: float = _WINDOW_S,
        sealing: Callable[[NewEvent], NewEvent] = lambda draft: draft,
    ) -> None:
        """Remember at most `ids_max` ids, each for `window_s` seconds; `now` is in Unix seconds.

        `sealing` transforms an event before it is written; it is deterministic.
        """
        self._sealing = sealing
        topic = TopicNames(cluster.topic_prefix).events
        self._now = now
        self._recent = RecentIds(ids_max=ids_max, window_s=window_s)
        self._in_progress: dict[bytes, PendingRecord] = {}
        self._writer = EventWriter(cluster, topic, timeout_s=timeout_s, on_ended=self._on_ended)
        self._follower = EventFollower(
            cluster, topic, recent=self._recent, records_max=ids_max, window_s=window_s, now=now
        )

    async def start(self) -> None:
        """Connect in the background; return at once."""
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
        """Return why no event can be published or duplicates are unknown; or None."""
        return self._writer.why_not_ready() or self._follower.why_not_ready()

    async def publish_many(self, drafts: Sequence[NewEvent]) -> list[tuple[Position, ...]]:
        """Publish events, in this order for each customer; return the positions of their records.

        A broadcast has a record on each partition, in order. An event whose id was published within
        the window is not written again. Errors: see `hookseal.api.ports.Events`.
        """
        partitions = self._writer.known_partitions()
        records = sum(partitions if draft.is_broadcast else 1 for draft in drafts)
        if records > _WRITES_MAX:
            raise InvalidInputError(
                "batch_too_large",
                f"These events make {records:,} records, and at most {_WRITES_MAX:,} are written "
                f"at once. A broadcast is a record on each of {partitions} partitions. Send fewer "
                "events.",
            )
        fresh: list[PendingRecord] = []
        try:
            found = [
                self._records(index, self._sealing(draft), fresh, partitions)
                for index, draft in enumerate(drafts)
            ]
            self._writer.check_room(fresh)
        except BaseException:
            for write in fresh:
                self._forget(write)
            raise
        self._writer.put(fresh)
        # Each record once: a batch may contain duplicates.
        awaited = {
            id(record): record
            for of_event in found
            for record in of_event
            if isinstance(record, PendingRecord)
        }
        if awaited:
            await self._writer.wait(list(awaited.values()))
        return [
            tuple(Position(record.partition, record.offset) for record in of_event)
            for of_event in found
        ]

    async def publish_once(self, notice: Notice) -> None:
        """Write the notice; a failure is raised and not retried."""
        customer_id = notice.customer_id
        partition = partition_of(customer_id, self._writer.known_partitions())
        write = PendingRecord(partition, customer_id.encode(), notice.value, notice.headers)
        self._writer.check_room([write])
        self._writer.put([write])
        await self._writer.wait([write])

    def _records(
        self, index: int, draft: NewEvent, fresh: list[PendingRecord], partitions: int
    ) -> list[PendingRecord | Published]:
        """Return the earlier records of the event's id, and new ones, which `fresh` gets."""
        key, headers = draft.key, draft.headers
        targets: Iterable[int] = range(partitions)
        if not draft.is_broadcast:
            targets = (partition_of(draft.customer_id, partitions),)
        records: list[PendingRecord | Published] = []
        for partition in targets:
            mark, fingerprint = identity_of(draft, partition)
            known = None
            if mark is not None:
                known = self._in_progress.get(mark) or self._recent.get(mark, now=self._now())
            if known is None:
                known = PendingRecord(partition, key, draft.value, headers, mark, fingerprint)
                fresh.append(known)
                if mark is not None:
                    self._in_progress[mark] = known
            elif known.fingerprint != fingerprint:
                raise EventIdReusedError(index)
            records.append(known)
        return records

    def _forget(self, write: PendingRecord) -> None:
        if write.mark is not None:
            del self._in_progress[write.mark]

    def _on_ended(self, writes: Sequence[PendingRecord], is_written: bool) -> None:  # noqa: FBT001
        now = self._now()
        for write in writes:
            self._forget(write)
            if is_written and write.mark is not None:
                published = Published(write.fingerprint, write.partition, write.offset, now)
                self._recent.remember(write.mark, published)
        if is_written:
            # The offsets are consecutive. The follower need not read these records.
            self._follower.wrote(writes[0].partition, writes[0].offset, len(writes))


_DATA = b',"data":'


class _Head(msgspec.Struct):
    type: str
    id: str = ""


_head = msgspec.json.Decoder(_Head)


def sealed(draft: NewEvent, vault: EventVault) -> NewEvent:
    """Return the event with encrypted data; type, id and time stay readable."""
    data = data_member(draft.value) or b"null"
    head = draft.value[: -len(_DATA) - len(data) - 1]
    event = _head.decode(head + b"}")
    text = vault.seal(data, draft.customer_id, event.id, event.type)
    value = b'%b,"sealed":"%b"}' % (head, text.encode())
    return replace(draft, value=value, more=(*draft.more, (SEALED_HEADER, b"1")))
