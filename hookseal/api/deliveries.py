"""The delivery log: attempts of a tenant, and an overview of the last minute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.schemas import Output, Page, Text, read_position, write_position
from hookseal.domain.letter import overview_of
from hookseal.domain.letter_filter import AttemptFilter, parse_moment
from hookseal.domain.utc_time import rfc3339

if TYPE_CHECKING:
    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages
    from hookseal.domain.letter import Attempted

_LIST_WITHIN_S = 5.0
_OVERVIEW_WITHIN_S = 2.0
_WINDOW_S = 60
# Attempts per partition. Of more, the oldest are left out.
_ATTEMPTS_MAX = 3_000
_overview_operation = partial(Operation, tag="Overview")


class DeliveryQuery(Page, frozen=True):
    """Filters attempts; without a filter, all match.

    Attributes:
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status of the response.
        since: RFC 3339 or a day: ended at this time or later.
        until: RFC 3339 or a day: ended before this time.
    """

    event_id: Text | None = None
    endpoint_id: Text | None = None
    event_type: Text | None = None
    code: Text | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    since: Text | None = None
    until: Text | None = None


class AnyDeliveryQuery(DeliveryQuery, frozen=True):
    """Filters the attempts of all tenants."""

    customer_id: Text | None = None


class DeliveryOut(Output, frozen=True):
    """One attempt to deliver an event to an endpoint.

    Attributes:
        attempt: Counted from 1, up to `attempt_max`.
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status, or null without a response.
        duration_s: Seconds from connect to last byte.
        kid: Id of the public key that the event was encrypted to.
        at: When the attempt ended, RFC 3339.
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


class Deliveries(Output, frozen=True):
    """A page of attempts, newest first."""

    items: list[DeliveryOut]
    next_cursor: str | None = None


class WhoAmI(Output, frozen=True):
    """The holder of the key. The admin key has no customer id, and all scopes without a list."""

    customer_id: str | None
    scopes: list[str]


class SecondOut(Output, frozen=True):
    """Attempts that ended within the second that starts at `at`, RFC 3339."""

    at: str
    accepted: int
    failed: int


class CustomerDeliveryOut(DeliveryOut, frozen=True):
    """One attempt to deliver an event of a customer."""

    customer_id: str


class AnyDeliveries(Output, frozen=True):
    """A page of attempts of all tenants, newest first."""

    items: list[CustomerDeliveryOut]
    next_cursor: str | None = None


class PartitionOut(Output, frozen=True):
    """A partition with attempts within the window.

    Attributes:
        held: The latest attempts of up to five deliveries in backoff, the oldest first.
    """

    partition: int
    attempts: int
    accepted: int
    held: list[CustomerDeliveryOut]


class OverviewOut(Output, frozen=True):
    """The last minute of the delivery log.

    Attributes:
        seconds: One item for each second of the window, oldest first.
        attempt_p50_s: p50 latency of accepted attempts in seconds; null without one.
        partitions: Those with an attempt, ordered by number.
    """

    window_s: int
    seconds: list[SecondOut]
    attempt_p50_s: float | None
    attempt_p99_s: float | None
    partitions: list[PartitionOut]


@dataclass(frozen=True, kw_only=True)
class DeliveryOperations(Resource):
    """`/v1/tenants/{c}/deliveries`, `/v1/deliveries`, `/v1/whoami`, `/v1/overview`."""

    changes: TenantChanges
    index: AttemptPages

    @Operation(
        "GET",
        "/v1/tenants/{customer_id}/deliveries",
        "Deliveries",
        scope="deliveries:read",
        queries=DeliveryQuery,
        returns=Deliveries,
    )
    async def list_deliveries(self, call: Call) -> Reply:
        """List the attempts of a tenant, newest first, filtered."""
        asked = call.input_as(DeliveryQuery)
        wanted = _filter_of(call.customer_id, asked)
        cursor = read_position(asked.cursor)
        await self.changes.tenant(call.customer_id)
        await self.index.catch_up(timeout_s=_LIST_WITHIN_S)
        found = await self.index.page(wanted, limit=asked.limit, cursor=cursor)
        if asked.endpoint_id is not None and not found.attempts:
            # Only now: a removed endpoint still has its history.
            await self.changes.endpoint(call.customer_id, asked.endpoint_id, field="endpoint_id")
        return Reply(
            Deliveries(
                items=[DeliveryOut(**attempt.document()) for attempt in found.attempts],
                next_cursor=write_position(found.next_cursor),
            )
        )

    @Operation(
        "GET",
        "/v1/deliveries",
        "Deliveries",
        access=Access.ADMIN,
        queries=AnyDeliveryQuery,
        returns=AnyDeliveries,
    )
    async def list_all_deliveries(self, call: Call) -> Reply:
        """List the attempts of all tenants, newest first, filtered."""
        asked = call.input_as(AnyDeliveryQuery)
        wanted = _filter_of(asked.customer_id, asked)
        cursor = read_position(asked.cursor)
        await self.index.catch_up(timeout_s=_LIST_WITHIN_S)
        found = await self.index.page(wanted, limit=asked.limit, cursor=cursor)
        return Reply(
            AnyDeliveries(
                items=[customer_delivery_out(attempt) for attempt in found.attempts],
                next_cursor=write_position(found.next_cursor),
            )
        )

    @_overview_operation("GET", "/v1/whoami", access=Access.ANY, returns=WhoAmI)
    async def who_am_i(self, call: Call) -> Reply:
        """Show the holder of the key, and its scopes."""
        principal = call.principal
        return Reply(WhoAmI(customer_id=principal.customer_id, scopes=list(principal.scopes)))

    @_overview_operation("GET", "/v1/overview", access=Access.ADMIN, returns=OverviewOut)
    async def show_overview(self, _: Call) -> Reply:
        """Show attempts and latency of the last minute, and the deliveries in backoff."""
        await self.index.catch_up(timeout_s=_OVERVIEW_WITHIN_S)
        now = int(self.changes.clock.now())
        since = now - _WINDOW_S + 1
        found = overview_of(await self.index.latest(since * 1000, _ATTEMPTS_MAX))
        seconds = []
        for at in range(since, now + 1):
            accepted, failed = found.seconds.get(at, (0, 0))
            seconds.append(SecondOut(at=rfc3339(at), accepted=accepted, failed=failed))
        partitions = [
            PartitionOut(
                partition=one.partition,
                attempts=one.attempts,
                accepted=one.accepted,
                held=[customer_delivery_out(held) for held in one.held],
            )
            for one in found.partitions
        ]
        return Reply(
            OverviewOut(
                window_s=_WINDOW_S,
                seconds=seconds,
                attempt_p50_s=None if found.p50_us is None else found.p50_us / 1_000_000,
                attempt_p99_s=None if found.p99_us is None else found.p99_us / 1_000_000,
                partitions=partitions,
            )
        )


def customer_delivery_out(attempt: Attempted) -> CustomerDeliveryOut:
    """Return an attempt with its customer."""
    return CustomerDeliveryOut(customer_id=attempt.customer_id, **attempt.document())


def _filter_of(customer_id: str | None, asked: DeliveryQuery) -> AttemptFilter:
    moments = {
        f"{name}_ms": None if text is None else parse_moment(text, field=name)
        for name, text in (("since", asked.since), ("until", asked.until))
    }
    return AttemptFilter(
        customer_id=customer_id,
        endpoint_id=asked.endpoint_id,
        event_id=asked.event_id,
        event_type=asked.event_type,
        code=asked.code,
        status=asked.status,
        **moments,
    )
