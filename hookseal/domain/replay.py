"""A replay: publishing an event again, aimed at one endpoint, marked so that it is done once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hookseal.domain.dead_letter import CATEGORIES
from hookseal.domain.event import (
    BROADCAST_HEADER,
    ENDPOINT_ID_HEADER,
    EVENT_ID_HEADER,
    EVENT_TIMESTAMP_HEADER,
    REPLAY_HEADER,
    REROUTED_HEADER,
)

if TYPE_CHECKING:
    from hookseal.domain.record import Header, Headers

# A record that is no event stays none, however often it is published. Only the size limit
# is a setting, and an operator may have raised it since.
NOT_REPLAYABLE = CATEGORIES["event"] - {"payload_too_large"} | {
    "record_truncated",
    "record_unreadable",
}

# What hookseal wrote beside the producer's own headers, as a letter or as a copy.
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


class Mark(NamedTuple):
    """Which record was published again, and by which job: the header `hookseal-replay-of`.

    Attributes:
        topic: `dead-letters`, or `events` where accepted events are replayed.
        partition: Counted from 0.
        offset: Counted from 0.
        timestamp_ms: The record's own: offsets of a recreated topic begin at 0 again.
        job: Empty for dead letters, each of which is replayed once for good.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    job: str = ""

    def __str__(self) -> str:
        place = f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp_ms}"
        return f"{place}/{self.job}" if self.job else place


def parse_mark(value: bytes) -> Mark | None:
    """Return the mark in a header's value; None if it is none of ours."""
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
    """Return the headers of a replay: the producer's, and behind them ours.

    Args:
        headers: Of the dead letter, or of the event that is published again.
        event_id: The event's, derived or not; the replay keeps it.
        endpoint_id: The one endpoint it is for; None = all that subscribe, where the
            event never came to an endpoint.
        timestamp: RFC 3339: when the event happened, if it does not say so itself.
    """
    added: list[Header] = [(EVENT_ID_HEADER, event_id.encode())]
    if endpoint_id is not None:
        added.append((ENDPOINT_ID_HEADER, endpoint_id.encode()))
    if timestamp is not None:
        added.append((EVENT_TIMESTAMP_HEADER, timestamp.encode()))
    added.append((REPLAY_HEADER, str(mark).encode()))
    return (*(header for header in headers if header[0] not in _OURS), *added)
