"""Dead letters, their replay and the delivery log: what goes in and what comes out."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from hookseal.api.schemas import PAGE_DEFAULT, PAGE_MAX, Page, _Request, _Response

TEXT_MAX = 255
# What one request may do within seconds.
REPLAY_MAX = 1000

CustomerFilter = Annotated[str, Meta(max_length=TEXT_MAX)] | None


class DeliveryQuery(Page, frozen=True):
    """Which attempts.

    Attributes:
        event_id: Only those of this event.
        endpoint_id: Only those at this endpoint.
    """

    event_id: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    endpoint_id: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class DeliveryOut(_Response, frozen=True):
    """One attempt to deliver an event to an endpoint.

    Attributes:
        attempt: Counted from 1.
        attempt_max: Attempts that the schedule allowed.
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status, or null when no answer came.
        duration_s: Seconds from connect to last byte.
        kid: The public key it was sealed to.
        at: RFC 3339, when it ended.
    """

    event_id: str
    event_type: str
    endpoint_id: str
    attempt: int
    attempt_max: int
    code: str
    status: int | None
    duration_s: float
    kid: str
    at: str


class Deliveries(_Response, frozen=True):
    """A page of attempts, newest first."""

    items: list[DeliveryOut]
    next_cursor: str | None = None


class DeadLetterQuery(_Request, frozen=True):
    """Which dead letters; what is left out says nothing.

    Attributes:
        endpoint_id: The endpoint that gave up.
        reason: A code.
        category: Whose it is to mend.
        set_aside: Only what was set aside since the endpoint or the tenant were disabled.
        event_type: Exactly this.
        status: The last HTTP status.
        since: RFC 3339 or a day: given up then or later.
        until: RFC 3339 or a day: given up before then.
    """

    endpoint_id: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    reason: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    category: Literal["receiver", "configuration", "event", "platform"] | None = None
    set_aside: bool = False
    event_type: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    since: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    until: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class DeadLetterPageQuery(DeadLetterQuery, frozen=True):
    """Which part of the list of dead letters.

    Attributes:
        replayed: Only those that were published again, or were not.
        order: Which come first.
        limit: Items at most.
        cursor: The `next_cursor` of the page before.
    """

    replayed: bool | None = None
    order: Literal["newest", "oldest"] = "newest"
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT
    cursor: Annotated[str, Meta(max_length=1024)] | None = None


class DeadLetterOut(_Response, frozen=True):
    """One delivery that was given up.

    Attributes:
        id: Names it in a replay.
        reason: A code.
        category: Whose it is to mend.
        error: One sentence.
        attempts: Attempts made.
        status: The last HTTP status, if there was any.
        failed_at: RFC 3339.
        replayed_at: RFC 3339: when its event was published again, if it was.
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


class DeadLetters(_Response, frozen=True):
    """A page of dead letters."""

    items: list[DeadLetterOut]
    next_cursor: str | None = None


class DeadLetterStatsQuery(_Request, frozen=True):
    """Which dead letters are counted.

    Attributes:
        since: RFC 3339 or a day: given up then or later.
        until: RFC 3339 or a day: given up before then.
    """

    since: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    until: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class DeadLetterCount(_Response, frozen=True):
    """How many dead letters one endpoint has for one reason.

    Attributes:
        reason: A code.
        category: Whose it is to mend.
        count: Dead letters, replayed ones included.
        replayed: Those of them that were published again.
        first_failed_at: RFC 3339.
        last_failed_at: RFC 3339.
    """

    customer_id: str | None
    endpoint_id: str | None
    reason: str | None
    category: str
    count: int
    replayed: int
    first_failed_at: str
    last_failed_at: str


class DeadLetterStats(_Response, frozen=True):
    """Counts of dead letters, the largest first."""

    items: list[DeadLetterCount]


class ReplayRequest(DeadLetterQuery, frozen=True):
    """Which dead letters are to be published again; all of them if nothing is said.

    Attributes:
        ids: These, as listed.
        limit: At most so many; ask again for the rest.
        dry_run: Only count.
    """

    ids: Annotated[tuple[str, ...], Meta(max_length=REPLAY_MAX)] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=REPLAY_MAX)] = REPLAY_MAX
    dry_run: bool = False


class ReplayResult(_Response, frozen=True):
    """What a replay did.

    Attributes:
        replayed: Events that were published again; with `dry_run` those that would be.
        remaining: Letters that match and are still to be replayed: ask again.
        not_replayable: Letters that match and would fail again, since they are no events.
    """

    replayed: int
    remaining: int
    not_replayable: int


class AnyDeadLetterPageQuery(DeadLetterPageQuery, frozen=True):
    """Which part of the list of all tenants' dead letters.

    Attributes:
        customer_id: Only this customer's.
        after: An id: only the letters behind this one, in the given order; not with `cursor`.
    """

    customer_id: CustomerFilter = None
    after: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None


class AnyDeadLetterStatsQuery(DeadLetterStatsQuery, frozen=True):
    """Which of all tenants' dead letters are counted.

    Attributes:
        customer_id: Only this customer's.
    """

    customer_id: CustomerFilter = None


class AnyDeadLetterOut(DeadLetterOut, frozen=True):
    """A dead letter of any tenant.

    Attributes:
        customer_id: The record's key; null where it has none.
        partition: Where the letter stands on `dead-letters`.
        offset: Where the letter stands on `dead-letters`.
    """

    customer_id: str | None
    partition: int
    offset: int


class AnyDeadLetters(_Response, frozen=True):
    """A page of dead letters of all tenants."""

    items: list[AnyDeadLetterOut]
    next_cursor: str | None = None


class DeadLetterRecordQuery(_Request, frozen=True):
    """How much of a dead letter is shown.

    Attributes:
        reveal: Show the event and the headers of its producer as well.
    """

    reveal: bool = False


class HeaderOut(_Response, frozen=True):
    """A header of a dead letter's record.

    Attributes:
        value: Null where it is the producer's and was not to be revealed.
        size: Bytes.
    """

    name: str
    value: str | None
    size: int


class AttemptOut(_Response, frozen=True):
    """One attempt before a dead letter.

    Attributes:
        at: RFC 3339, when it ended.
        attempt: Counted from 1.
        attempt_max: Attempts that the schedule allowed.
        code: `http_503`, `timeout`, …
        status: HTTP status, or null when no answer came.
        duration_s: Seconds from connect to last byte.
        kid: The public key it was sealed to.
        partition: Where the event stood on `events`.
        offset: Where the event stood on `events`.
        worker: The process that made it, `host:pid`.
        v: Version of the delivery log's form.
    """

    at: str
    customer_id: str
    event_id: str
    event_type: str
    endpoint_id: str
    attempt: int
    attempt_max: int
    code: str
    status: int | None
    duration_s: float
    kid: str
    partition: int
    offset: int
    worker: str
    v: int


class DeadLetterRecordOut(_Response, frozen=True):
    """A dead letter as it stands on its topic, with the attempts before it.

    Attributes:
        id: Names it in a replay.
        customer_id: The record's key; null where it has none.
        reason: A code.
        category: Whose it is to mend.
        error: One sentence.
        attempts: Attempts made.
        status: The last HTTP status, if there was any.
        failed_at: RFC 3339.
        headers: In their order.
        history: The attempts, as far as the delivery log has them.
        event: The event's bytes as text; null unless `reveal` was asked for.
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


class AnyReplayRequest(ReplayRequest, frozen=True):
    """Which of all tenants' dead letters are to be published again.

    Attributes:
        customer_id: Only this customer's.
    """

    customer_id: CustomerFilter = None


class AnyReplayResult(ReplayResult, frozen=True):
    """What a replay over all tenants did.

    Attributes:
        replayed_before: Letters that match and were replayed before this request.
    """

    replayed_before: int
