"""Selects what a replay publishes: dead letters by a filter, or the events of an endpoint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from hookseal.domain.dead_letter import REASONS, SUSPENDED, added_headers
from hookseal.domain.event import REPLAY_HEADER, event_id_if_any, is_broadcast, parse_event
from hookseal.domain.letter import ReplayPlan
from hookseal.domain.record import last_header
from hookseal.domain.replay import NOT_REPLAYABLE, Mark, replayed_headers
from hookseal.errors import InvalidEventError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hookseal.dead_letters.index.letters import LetterQueries
    from hookseal.domain.letter_filter import LetterFilter
    from hookseal.domain.record import Headers, Record

_REPLAYABLE = frozenset(REASONS) - NOT_REPLAYABLE
_BATCH_MAX_BYTES = 4 * 1024 * 1024


class Item(NamedTuple):
    """One record to publish, with offset and timestamp of the record that it repeats."""

    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class EventsWanted:
    """Events of one endpoint from a time (ms) on, including accepted events.

    Attributes:
        wants: Whether the endpoint subscribes to an event type.
        until_ms: None = up to the end when the replay begins.
        again: A new name replays the same events once more.
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


async def plan_of(index: LetterQueries, wanted: LetterFilter) -> ReplayPlan:
    """Return what a replay would do. Replayed letters are counted whatever the filter says."""
    reasons = _included_reasons(wanted)

    async def count(some: frozenset[str], *, replayed: bool | None) -> int:
        narrowed = replace(wanted, reasons=some, replayed=replayed, has_customer=True)
        return sum((await index.counts(narrowed)).values())

    return ReplayPlan(
        to_replay=await count(reasons & _REPLAYABLE, replayed=False),
        replayed=await count(reasons & _REPLAYABLE, replayed=True),
        not_replayable=await count(reasons & NOT_REPLAYABLE, replayed=None),
    )


def to_replay(wanted: LetterFilter) -> LetterFilter:
    """Return the filter of the dead letters to publish."""
    reasons = _included_reasons(wanted) & _REPLAYABLE
    return replace(wanted, reasons=reasons, replayed=False, has_customer=True)


def _included_reasons(wanted: LetterFilter) -> frozenset[str]:
    """Return the reasons that the replay includes.

    Deferred events of a suspended endpoint are redelivered automatically, and a replay would
    duplicate them. They are included only if the filter names nothing else.
    """
    reasons = frozenset(REASONS) if wanted.reasons is None else wanted.reasons
    if wanted.places is not None or reasons == {SUSPENDED}:
        return reasons
    return reasons - {SUSPENDED}


def letter_items(records: Iterable[Record], expected: Mapping[int, int]) -> Iterator[Item]:
    """Yield the replays of dead letters of one partition.

    `expected` has their timestamps by offset. A letter with another timestamp belongs to a topic
    that was recreated since, and is skipped.
    """
    for record in records:
        if expected.get(record.offset) != record.timestamp_ms or not record.key:
            continue
        added = added_headers(record.headers)
        headers = replayed_headers(
            record.headers,
            Mark(record.topic, record.partition, record.offset, record.timestamp_ms),
            event_id=added.get("event-id") or event_id_if_any(record),
            endpoint_id=added.get("endpoint-id") or None,
            timestamp=added.get("event-timestamp"),
        )
        yield Item(record.offset, record.timestamp_ms, record.key, record.value or b"", headers)


def event_items(records: Iterable[Record], wanted: EventsWanted, max_bytes: int) -> Iterator[Item]:
    """Yield the replays of those events that the endpoint subscribes to."""
    key = wanted.customer_id.encode()
    for record in records:
        is_early = record.timestamp_ms < wanted.since_ms
        is_late = wanted.until_ms is not None and record.timestamp_ms >= wanted.until_ms
        if is_early or is_late or last_header(record.headers, REPLAY_HEADER) is not None:
            continue
        if record.key != key and not is_broadcast(record):
            continue
        try:
            event = parse_event(record, max_bytes=max_bytes)
        except InvalidEventError:
            continue
        if not wanted.wants(event.type):
            continue
        headers = replayed_headers(
            record.headers,
            Mark(record.topic, record.partition, record.offset, record.timestamp_ms, wanted.job),
            event_id=event.id,
            endpoint_id=wanted.endpoint_id,
            timestamp=event.timestamp,
        )
        yield Item(record.offset, record.timestamp_ms, key, record.value or b"", headers)


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in batches of at most 4 MiB; each batch is one transaction."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if batch and size + len(item.value) > _BATCH_MAX_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.value)
    if batch:
        yield batch
