"""Requests and responses of the trace of an event."""

from __future__ import annotations

from hookseal.api.dead_letter_schemas import DeadLetterOut
from hookseal.api.deliveries import CustomerDeliveryOut, DeliveryOut
from hookseal.api.schemas import Input, Output, Text
from hookseal.api.status_schemas import OldestEventOut
from hookseal.domain.event_trace import DeliveryState, EventState
from hookseal.domain.progress import PartitionStateName


class TraceQuery(Input, frozen=True):
    """The event to trace.

    Attributes:
        customer_id: Optional with an API key, and if the delivery log, the dead letters or the
            search name the customer.
        since: RFC 3339 or a day: search `events` from this time on. Default: 24 hours ago.
    """

    customer_id: Text | None = None
    since: Text | None = None


class DeliveryTraceOut(Output, frozen=True):
    """The delivery of an event to one endpoint.

    Attributes:
        endpoint_id: null for a dead letter of the whole event, which no endpoint got.
        state: `accepted`; `backoff` (a retry follows); `deferred` (for a suspended or paused
            endpoint); `dead_lettered`; `waiting` (no attempt yet); `skipped` (the endpoint does not
            subscribe to it); `failed` (its dead letter is not listed yet); or `unknown` (done, but
            the delivery log has no attempt).
        detail: For people: the reason, and what to do.
        attempts: Oldest first.
        dead_letter: With `dead_lettered` and `deferred`; also one that was published again.
    """

    endpoint_id: str | None
    state: DeliveryState
    detail: str
    attempts: list[DeliveryOut]
    dead_letter: DeadLetterOut | None


class WaitingOut(Output, frozen=True):
    """The partition in which the event waits.

    An API key does not see the events of other tenants: `oldest` and `held_by` are null then.

    Attributes:
        events_before: Events before it in the partition that are not done. With the ordering mode
            `customer`, it waits only for those of its own customer.
        state: As `state` of a partition in `GET /v1/status`.
        since: RFC 3339: since when the oldest event of the partition waits.
        oldest: The oldest event of the partition that is not done.
        held_by: The latest attempt at the oldest event, if it is in backoff.
    """

    events_before: int
    state: PartitionStateName
    since: str | None
    oldest: OldestEventOut | None
    held_by: CustomerDeliveryOut | None


class SearchedOut(Output, frozen=True):
    """The search on `events`.

    Attributes:
        since: RFC 3339.
        partitions: Those that were searched.
        records: Number of offsets that were searched.
        is_complete: False if the limit of 200,000 records or 10 s left out a part of the time.
    """

    since: str
    partitions: list[int]
    records: int
    is_complete: bool


class EventTraceOut(Output, frozen=True):
    """Where an event is.

    Attributes:
        customer_id: null if the event was not found, and none was given.
        state: That of the delivery that needs attention most: `dead_lettered`, `failed`,
            `deferred`, `backoff`, `waiting`, `unknown`, `accepted`, `skipped`. `never_seen` if
            neither `events` nor the delivery log nor the dead letters have the event.
        published_at: Timestamp of its record, RFC 3339; null if the record was not read.
        offset: On `events`; null if unknown.
        waiting: If a delivery waits for its first attempt or is in backoff.
        searched: null if the delivery log has the event, so that no search was necessary.
    """

    event_id: str
    customer_id: str | None
    event_type: str | None
    state: EventState
    detail: str
    published_at: str | None
    partition: int | None
    offset: int | None
    deliveries: list[DeliveryTraceOut]
    waiting: WaitingOut | None
    searched: SearchedOut | None
