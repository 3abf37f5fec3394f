"""Requests and responses of dead letters and their replay."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from hookseal.api.deliveries import CustomerDeliveryOut
from hookseal.api.schemas import LIMIT_DEFAULT, Cursor, Input, Limit, Output, Text

# One request replays as many within seconds.
REPLAY_MAX = 1000


class DeadLetterStatsQuery(Input, frozen=True):
    """Filters dead letters that failed within `since <= t < until`, RFC 3339 or a day."""

    since: Text | None = None
    until: Text | None = None


class DeadLetterQuery(DeadLetterStatsQuery, frozen=True):
    """Filters dead letters; without a filter, all match.

    Attributes:
        set_aside: Only events that were deferred since the endpoint or the tenant was disabled.
        status: HTTP status of the last attempt.
    """

    endpoint_id: Text | None = None
    event_id: Text | None = None
    reason: Text | None = None
    category: Literal["receiver", "configuration", "event", "platform"] | None = None
    set_aside: bool = False
    event_type: Text | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None


class DeadLetterPageQuery(DeadLetterQuery, frozen=True):
    """One page of dead letters."""

    replayed: bool | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class AnyDeadLetterPageQuery(DeadLetterPageQuery, frozen=True):
    """One page of the dead letters of all tenants.

    Attributes:
        after: Id of a dead letter: only those that follow it in the given order. Not with
            `cursor`.
    """

    customer_id: Text | None = None
    after: Text | None = None


class AnyDeadLetterStatsQuery(DeadLetterStatsQuery, frozen=True):
    """Filters the dead letters of all tenants."""

    customer_id: Text | None = None


class DeadLetterRecordQuery(Input, frozen=True):
    """With `reveal`, the event and the headers of its producer are shown."""

    reveal: bool = False


class ReplayRequest(DeadLetterQuery, frozen=True):
    """The dead letters to replay; without a filter, all.

    Attributes:
        limit: Maximum number to replay. Repeat the request for the rest.
        dry_run: Only count.
    """

    ids: Annotated[tuple[str, ...], Meta(max_length=REPLAY_MAX)] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=REPLAY_MAX)] = REPLAY_MAX
    dry_run: bool = False


class AnyReplayRequest(ReplayRequest, frozen=True):
    """The dead letters of all tenants to replay."""

    customer_id: Text | None = None


class DeadLetterOut(Output, frozen=True):
    """One failed delivery.

    Attributes:
        category: Who can fix the cause.
        error: The reason in words.
        attempts: Number of attempts.
        status: HTTP status of the last attempt; null without a response.
        failed_at: RFC 3339.
        replayed_at: When the event was published again, RFC 3339; null if it was not.
    """

    id: str
    event_id: str | None
    event_type: str | None
    endpoint_id: str | None
    reason: str | None
    category: str
    error: str | None
    attempts: int | None
    status: int | None
    failed_at: str
    replayed_at: str | None


class DeadLetters(Output, frozen=True):
    """A page of dead letters."""

    items: list[DeadLetterOut]
    next_cursor: str | None = None


class AnyDeadLetterOut(DeadLetterOut, frozen=True):
    """A dead letter of any tenant. `customer_id` is the key of its record; null without one."""

    customer_id: str | None
    partition: int
    offset: int


class AnyDeadLetters(Output, frozen=True):
    """A page of dead letters of all tenants."""

    items: list[AnyDeadLetterOut]
    next_cursor: str | None = None


class DeadLetterCount(Output, frozen=True):
    """Dead letters of one endpoint with one reason. `count` includes the replayed ones."""

    customer_id: str | None
    endpoint_id: str | None
    reason: str | None
    category: str
    count: int
    replayed: int
    first_failed_at: str
    last_failed_at: str


class DeadLetterStats(Output, frozen=True):
    """Counts of dead letters, the largest first."""

    items: list[DeadLetterCount]


class ReplayResult(Output, frozen=True):
    """The result of a replay.

    Attributes:
        replayed: Events that were published again. With `dry_run`: that would be.
        remaining: Dead letters that match and are still to be replayed. Repeat the request.
        not_replayable: Dead letters that match but are not valid events, and would fail again.
    """

    replayed: int
    remaining: int
    not_replayable: int


class AnyReplayResult(ReplayResult, frozen=True):
    """The result of a replay over all tenants.

    Attributes:
        replayed_before: Dead letters that match and were replayed before this request.
    """

    replayed_before: int


class HeaderOut(Output, frozen=True):
    """A header of `size` bytes. The value of a producer's header is null unless `reveal=true`."""

    name: str
    value: str | None
    size: int


class AttemptOut(CustomerDeliveryOut, frozen=True):
    """One attempt before a dead letter.

    Attributes:
        partition: Partition of the event on `events`.
        worker: The process that made the attempt, `host:pid`.
        v: Version of the record in the delivery log.
    """

    partition: int
    offset: int
    worker: str
    v: int


class DeadLetterRecordOut(Output, frozen=True):
    """The record of a dead letter, with the attempts before it.

    Attributes:
        customer_id: The key of the record; null without one.
        headers: In the order of the record. Those of hookseal (`hookseal-…`) appear once, with the
            last value.
        history: The attempts that the delivery log still has.
        event: The event as text; null unless `reveal=true`.
        size: Bytes of the event.
    """

    id: str
    partition: int
    offset: int
    customer_id: str | None
    reason: str | None
    category: str
    error: str | None
    endpoint_id: str | None
    event_id: str | None
    attempts: str | None
    status: str | None
    failed_at: str | None
    headers: list[HeaderOut]
    history: list[AttemptOut]
    event: str | None
    size: int
