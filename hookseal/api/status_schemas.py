"""Responses of the status."""

from __future__ import annotations

from typing import Literal

from hookseal.api.deliveries import CustomerDeliveryOut
from hookseal.api.schemas import Output
from hookseal.domain.progress import PartitionStateName


class WorkerOut(Output, frozen=True):
    """A worker of the consumer group.

    Kafka removes a worker that crashed after its session timeout; until then it is listed.

    Attributes:
        id: The member id in the group; without Kafka `host:pid`.
        host: Its IP address, as the broker sees it; without Kafka its host name.
        partitions: Partitions of `events` that it is assigned.
    """

    id: str
    client_id: str
    host: str
    partitions: list[int]


class GroupOut(Output, frozen=True):
    """The consumer group of the workers, with its state as Kafka names it.

    Attributes:
        state: `Stable`, `Empty` (no worker), `PreparingRebalance`, `CompletingRebalance`, `Dead`.
    """

    id: str
    state: str


class OldestEventOut(Output, frozen=True):
    """The oldest event of a partition that is not done.

    Attributes:
        at: Timestamp of its record, RFC 3339.
        customer_id: null for a broadcast.
    """

    event_id: str
    customer_id: str | None
    offset: int
    at: str


class PartitionStatusOut(Output, frozen=True):
    """A partition of `events`.

    Attributes:
        worker: The `id` of its worker; null without one.
        committed_offset: All offsets below it are done; null before the first commit, and
            without Kafka.
        end_offset: The last stable offset; null without Kafka.
        lag: Events up to the end that are not accepted, dead-lettered or deferred. Events above
            the committed offset that are done do not count.
        oldest: The oldest event that is not done; null if none waits, or if it cannot be read.
        state: `idle` (nothing waits), `delivering`, `backoff` (the oldest event waits for its next
            attempt), `not_attempted` (the worker has made no attempt at the oldest event for 30 s:
            it starts, or the receiver or the worker is slow), `open_transaction` (a producer has
            not ended its transaction), `rebalancing`, or `no_worker`.
        since: RFC 3339: since when the oldest event, or the transaction, waits.
        held_by: With `backoff`: the latest attempt at the oldest event.
    """

    partition: int
    worker: str | None
    committed_offset: int | None
    end_offset: int | None
    lag: int
    oldest: OldestEventOut | None
    state: PartitionStateName
    since: str | None
    held_by: CustomerDeliveryOut | None


class StoppedEndpointOut(Output, frozen=True):
    """An endpoint that gets no events at the moment.

    Attributes:
        because: `exhausted` (too many deliveries in a row failed), `behind` (too many events were
            queued) or `paused`.
        since: RFC 3339.
        deferred: Its events that wait on `dead-letters`; null if the list cannot be read, or
            if more than 1,000 endpoints have more of them.
    """

    customer_id: str
    endpoint_id: str
    state: Literal["suspended", "paused"]
    because: Literal["exhausted", "behind", "paused"]
    since: str
    deferred: int | None


class DeadLetterTotals(Output, frozen=True):
    """Dead letters of the last hour, by who can fix the cause. Deferred events do not count."""

    receiver: int
    configuration: int
    event: int
    platform: int


class StatusProblem(Output, frozen=True):
    """Something that needs attention, or that could not be read.

    Attributes:
        code: `no_worker`, `partitions_unassigned`, or the code of the error.
        detail: For people: what is wrong and what to do.
    """

    code: str
    detail: str


class StatusOut(Output, frozen=True):
    """The state of the deployment.

    Attributes:
        at: When it was read, RFC 3339.
        group: null without Kafka.
        lag: Sum of the lags of all partitions.
        endpoints: Suspended and paused endpoints, at most 500, ordered by customer id.
        endpoint_count: The number of all of them; null if the tenants cannot be read.
        dead_letters: null if the list cannot be read.
        problems: Empty if all is well.
    """

    at: str
    group: GroupOut | None
    workers: list[WorkerOut]
    partitions: list[PartitionStatusOut]
    lag: int
    endpoints: list[StoppedEndpointOut]
    endpoint_count: int | None
    dead_letters: DeadLetterTotals | None
    problems: list[StatusProblem]
