"""Replays and redeliveries: events that are published or delivered again, for one endpoint.

A dead letter is replayed once: its copy on `events` carries a mark, and the ledger on `replays`
lists it. Deferred events of a suspended endpoint are delivered from `dead-letters` without a copy.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from hookseal.domain.dead_letter import CATEGORIES, SUSPENDED, added_headers
from hookseal.domain.event import (
    BROADCAST_HEADER,
    ENDPOINT_ID_HEADER,
    EVENT_ID_HEADER,
    EVENT_TIMESTAMP_HEADER,
    REPLAY_HEADER,
    REROUTED_HEADER,
    parse_event,
)
from hookseal.domain.record import Record

if TYPE_CHECKING:
    from hookseal.domain.event import Event
    from hookseal.domain.record import Header, Headers

# A record that is not a valid event fails again, however often it is published. Only the size limit
# is a setting, and an operator may have raised it since.
NOT_REPLAYABLE = CATEGORIES["event"] - {"payload_too_large"} | {
    "record_truncated",
    "record_unreadable",
}

# What hookseal added to the producer's own headers, in a dead letter or in a copy.
_OURS = frozenset(
    {
        BROADCAST_HEADER,
        ENDPOINT_ID_HEADER,
        EVENT_ID_HEADER,
        EVENT_TIMESTAMP_HEADER,
        REPLAY_HEADER,
        REROUTED_HEADER,
        "hookseal-reason",
        "hookseal-error",
        "hookseal-attempts",
        "hookseal-status",
        "hookseal-topic",
        "hookseal-partition",
        "hookseal-offset",
        "hookseal-first-attempt-at",
        "hookseal-failed-at",
    }
)
_MARK = re.compile(
    r"([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})/(-?\d{1,18})(?:/([a-z0-9]{1,64}))?", re.ASCII
)
_OFFSET = re.compile(r"[0-9]{1,18}")
# JSON bounds no number, and the index cannot store a larger one.
_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError)


class Mark(NamedTuple):
    """The record that was published again, and the job: the header `hookseal-replay-of`.

    Attributes:
        topic: `dead-letters`, or `events` where accepted events are replayed.
        timestamp_ms: The record's own: offsets of a recreated topic begin at 0 again.
        job: Empty for dead letters, each of which is replayed only once.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    job: str = ""

    def __str__(self) -> str:
        position = f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp_ms}"
        return f"{position}/{self.job}" if self.job else position


class ReplayEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ledger entry: replayed events of one partition, and the process with its replay lease.

    Attributes:
        at_ms: Milliseconds since the Unix epoch, of the holder's clock.
        events_to: Offset on `events` below which every replay is entered in the ledger.
        released: Whether the holder is done, with no write in progress.
        job: Empty for dead letters; the id of a replay of accepted events otherwise.
        job_to: Offset on `events` up to which the job goes; -1 = not in this entry.
        replayed: Offset and timestamp of each replayed record, on the same partition of
            `dead-letters`, or of `events` for a job.
    """

    holder: str
    at_ms: _Int64
    events_to: _Int64
    released: bool = False
    job: str = ""
    job_to: _Int64 = -1
    replayed: list[tuple[_Int64, _Int64]] = []
    v: int = 1


class DrainedEntry(msgspec.Struct, frozen=True):
    """A ledger entry: deferred events of one partition that were redelivered without a replay.

    It has its own version, so that the search for the holder of the lease skips it.
    """

    drained: list[tuple[_Int64, _Int64]]
    v: Literal[2] = 2


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ReplayEntry)
_drained_decoder = msgspec.json.Decoder(DrainedEntry)


def encode(entry: ReplayEntry | DrainedEntry) -> bytes:
    """Return the entry's JSON."""
    return _encoder.encode(entry)


def decode(value: bytes) -> ReplayEntry | None:
    """Return the entry; None = invalid, or another version."""
    try:
        entry = _decoder.decode(value)
    except _UNREADABLE:
        return None
    return entry if entry.v == 1 else None


def settled_in(value: bytes) -> list[tuple[int, int]]:
    """Return offset and timestamp of the dead letters that an entry lists as done."""
    try:
        return _drained_decoder.decode(value).drained
    except _UNREADABLE:
        entry = decode(value)
        return [] if entry is None or entry.job else entry.replayed


def parse_mark(value: bytes) -> Mark | None:
    """Return the mark in a header's value; None = not written by hookseal."""
    found = _MARK.fullmatch(value.decode("utf-8", "replace"))
    if found is None:
        return None
    topic, partition, offset, timestamp_ms, job = found.groups()
    return Mark(topic, int(partition), int(offset), int(timestamp_ms), job or "")


def replayed_headers(
    headers: Headers,
    mark: Mark,
    *,
    event_id: str,
    endpoint_id: str | None,
    timestamp: str | None,
) -> Headers:
    """Return the headers of a replay: the producer's, followed by ours.

    The event keeps its id, also a derived one. `endpoint_id` is the only endpoint to deliver to;
    None = all that subscribe, for an event that never reached one. `timestamp` (RFC 3339) is for an
    event without a time of its own.
    """
    added: list[Header] = [(EVENT_ID_HEADER, event_id.encode())]
    if endpoint_id is not None:
        added.append((ENDPOINT_ID_HEADER, endpoint_id.encode()))
    if timestamp is not None:
        added.append((EVENT_TIMESTAMP_HEADER, timestamp.encode()))
    added.append((REPLAY_HEADER, str(mark).encode()))
    return (*(header for header in headers if header[0] not in _OURS), *added)


def is_deferred(letter: Record, customer_id: str, endpoint_id: str) -> bool:
    """Return whether this dead letter waits for that suspended endpoint."""
    if letter.key != customer_id.encode():
        return False
    added = added_headers(letter.headers)
    return added.get("reason") == SUSPENDED and added.get("endpoint-id") == endpoint_id


def original_of(letter: Record) -> Record:
    """Return the original record of `events`, aimed at the endpoint of the dead letter.

    Without a recorded position, the position of the dead letter is used.
    """
    added = added_headers(letter.headers)
    headers = replayed_headers(
        letter.headers,
        Mark(letter.topic, letter.partition, letter.offset, letter.timestamp_ms),
        event_id=added.get("event-id", ""),
        endpoint_id=added.get("endpoint-id") or None,
        timestamp=added.get("event-timestamp"),
    )
    return Record(
        added.get("topic", letter.topic),
        _number(added.get("partition"), letter.partition),
        _number(added.get("offset"), letter.offset),
        letter.key,
        letter.value,
        headers,
        _milliseconds(added.get("event-timestamp"), letter.timestamp_ms),
    )


def attempts_of(letter: Record) -> tuple[int, float | None]:
    """Return the attempts before the event was deferred, and Unix seconds of the first one."""
    added = added_headers(letter.headers)
    made = _number(added.get("attempts"), 0)
    # Without an attempt hookseal writes no such header, and the one there is the producer's.
    first = added.get("first-attempt-at") if made else None
    try:
        return made, None if first is None else datetime.fromisoformat(first).timestamp()
    except (ValueError, OverflowError):
        return made, None


def event_of(letter: Record, *, max_bytes: int) -> Event:
    """Return the event of a dead letter; raises as `parse_event`."""
    return parse_event(original_of(letter), max_bytes=max_bytes)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and _OFFSET.fullmatch(text) else otherwise


def _milliseconds(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return otherwise
