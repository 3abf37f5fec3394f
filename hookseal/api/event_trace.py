"""Traces one event: published, waiting, skipped, attempted, deferred, dead-lettered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from hookseal.api.dead_letter_schemas import DeadLetterOut
from hookseal.api.deliveries import DeliveryOut, customer_delivery_out
from hookseal.api.event_trace_schemas import (
    DeliveryTraceOut,
    EventTraceOut,
    SearchedOut,
    TraceQuery,
    WaitingOut,
)
from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.problems import unknown_tenant
from hookseal.api.status import oldest_event_out, partition_state
from hookseal.domain.event_trace import Traced, deliveries_of, state_of_all
from hookseal.domain.letter_filter import AttemptFilter, LetterFilter, parse_moment
from hookseal.domain.record import Position
from hookseal.domain.utc_time import rfc3339
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages, EventSearch, LetterPages, ProgressSource
    from hookseal.domain.event_trace import DeliveryTrace, EventState, FoundEvent, Search
    from hookseal.domain.letter import Attempted, Letter
    from hookseal.domain.progress import Progress

_INDEX_WITHIN_S = 5.0
_SINCE_DEFAULT_S = 24 * 3600
_ATTEMPTS_MAX = 1000
_LETTERS_MAX = 100


@dataclass(frozen=True, kw_only=True)
class EventTraceOperations(Resource):
    """`/v1/events/{id}/trace`."""

    changes: TenantChanges
    search: EventSearch
    progress: ProgressSource
    attempts: AttemptPages
    letters: LetterPages

    @Operation(
        "GET",
        "/v1/events/{id}/trace",
        "Events",
        access=Access.ANY,
        scope="deliveries:read",
        queries=TraceQuery,
        returns=EventTraceOut,
        problems={HTTPStatus.NOT_FOUND: ("unknown_tenant",)},
    )
    async def trace_event(self, call: Call) -> Reply:
        """Show where an event is: waiting, skipped, attempted, deferred or dead-lettered.

        If the delivery log does not have the event, the customer's partition of `events` is
        searched from `since` on: at most the latest 200,000 records, for at most 10 s. The admin
        key may omit `customer_id`; then all partitions are searched. Without Kafka only events that
        are not delivered yet can be found.
        """
        own = call.principal.customer_id
        asked = call.input_as(TraceQuery)
        if own is not None and asked.customer_id not in (None, own):
            raise unknown_tenant("customer_id")
        since_ms = self._since_ms(asked)
        if reason := self.changes.model.why_not_ready():
            raise reason
        await asyncio.gather(
            self.attempts.catch_up(timeout_s=_INDEX_WITHIN_S),
            self.letters.catch_up(timeout_s=_INDEX_WITHIN_S),
        )
        event_id = call.part("id")
        customer_id = own or asked.customer_id or await self._customer_of(event_id)
        progress = await self.progress.progress()
        attempts: Sequence[Attempted] = ()
        letters: Sequence[Letter] = ()
        if customer_id is not None:
            attempts, letters = await self._history(event_id, customer_id)
        search: Search | None = None
        # Without Kafka, the store says whether an event is done: it deletes it then.
        if not attempts or progress.group is None:
            search = await self.search.find(event_id, customer_id, since_ms=since_ms)
        found = None if search is None else search.found
        if customer_id is None and found is not None and found.record.key is not None:
            customer_id = found.record.key.decode("utf-8", "replace")
        position = _position(found, attempts)
        is_done = _is_done(position, progress, found)
        known = Traced(
            tenant=None if customer_id is None else self.changes.model.get(customer_id),
            event_type=_event_type(found, attempts, letters),
            only_endpoint=found.event.only_endpoint if found and found.event else None,
            is_done=is_done,
            attempts=attempts,
            letters=letters,
        )
        deliveries = deliveries_of(known)
        state: EventState = "never_seen"
        if found is not None or attempts or letters:
            state = "waiting" if not deliveries and is_done is False else state_of_all(deliveries)
        waiting = None
        if position is not None and is_done is False:
            before = None if search is None else search.waiting_before
            waiting = await self._waiting(position, progress, own, before)
        return Reply(
            EventTraceOut(
                event_id=event_id,
                customer_id=customer_id,
                event_type=known.event_type,
                state=state,
                detail=_detail(state, known, deliveries, waiting, search),
                published_at=None if found is None else rfc3339(found.record.timestamp_ms / 1000),
                partition=None if position is None else position.partition,
                offset=None if position is None else position.offset,
                deliveries=[_delivery_out(one) for one in deliveries],
                waiting=waiting,
                searched=None if search is None else _searched_out(search, since_ms),
            )
        )

    def _since_ms(self, asked: TraceQuery) -> int:
        if asked.since is not None:
            return parse_moment(asked.since, field="since")
        return round((self.changes.clock.now() - _SINCE_DEFAULT_S) * 1000)

    async def _customer_of(self, event_id: str) -> str | None:
        known = {
            *await self.attempts.customers_of(event_id),
            *await self.letters.customers_of(event_id),
        }
        if len(known) > 1:
            raise InvalidInputError(
                "customer_id_missing",
                f"{len(known):,} customers have an event with this id, for instance {min(known)}. "
                "Name one with customer_id.",
                field="customer_id",
            )
        return next(iter(known), None)

    async def _history(
        self, event_id: str, customer_id: str
    ) -> tuple[Sequence[Attempted], Sequence[Letter]]:
        attempts = await self.attempts.page(
            AttemptFilter(customer_id, event_id=event_id), limit=_ATTEMPTS_MAX
        )
        letters = await self.letters.page(
            LetterFilter(customer_id, event_id=event_id), limit=_LETTERS_MAX
        )
        return attempts.attempts, letters.letters

    async def _waiting(
        self, position: Position, progress: Progress, own: str | None, before: int | None
    ) -> WaitingOut:
        partition = progress.partitions[position.partition]
        if before is None:
            before = partition.waiting_before(position.offset)
        state = await partition_state(partition, progress, self.attempts, self.changes.clock.now())
        oldest, held = partition.oldest, state.held_by
        is_visible = own is None or (oldest is not None and oldest.customer_id == own)
        return WaitingOut(
            events_before=before,
            state=state.name,
            since=None if state.since_ms is None else rfc3339(state.since_ms / 1000),
            oldest=oldest_event_out(oldest) if is_visible else None,
            held_by=customer_delivery_out(held) if is_visible and held is not None else None,
        )


def _position(found: FoundEvent | None, attempts: Sequence[Attempted]) -> Position | None:
    if found is not None:
        return Position(found.record.partition, found.record.offset)
    if attempts:
        # Newest first: the oldest is that of the first copy, not of a replay.
        return Position(attempts[-1].partition, attempts[-1].event_offset)
    return None


def _is_done(
    position: Position | None, progress: Progress, found: FoundEvent | None
) -> bool | None:
    """Return whether the event is delivered, dead-lettered, deferred or skipped; None = unknown."""
    if position is None:
        return None
    if progress.group is None:
        return found is None
    return progress.partitions[position.partition].is_done(position.offset)


def _searched_out(search: Search, since_ms: int) -> SearchedOut:
    return SearchedOut(
        since=rfc3339(since_ms / 1000),
        partitions=list(search.partitions),
        records=search.records,
        is_complete=search.is_complete,
    )


def _event_type(
    found: FoundEvent | None, attempts: Sequence[Attempted], letters: Sequence[Letter]
) -> str | None:
    if found is not None and found.event is not None:
        return found.event.type
    types = [*(one.event_type for one in attempts), *(one.event_type for one in letters)]
    return next(filter(None, types), None)


def _delivery_out(found: DeliveryTrace) -> DeliveryTraceOut:
    letter = None
    if found.letter is not None:
        document = found.letter.document()
        letter = DeadLetterOut(**{name: document[name] for name in DeadLetterOut.__struct_fields__})
    return DeliveryTraceOut(
        endpoint_id=found.endpoint_id,
        state=found.state,
        detail=found.detail,
        attempts=[DeliveryOut(**one.document()) for one in found.attempts],
        dead_letter=letter,
    )


def _detail(
    state: EventState,
    known: Traced,
    deliveries: Sequence[DeliveryTrace],
    waiting: WaitingOut | None,
    search: Search | None,
) -> str:
    if state == "never_seen":
        return _never_seen(search)
    details = [
        f"{one.endpoint_id}: {one.detail}" if one.endpoint_id else one.detail
        for one in deliveries
        if one.state == state
    ]
    if state in ("waiting", "backoff") and waiting is not None:
        details.append(_wait_text(waiting))
    elif not details:
        details.append(
            "No tenant has this customer id."
            if known.tenant is None
            else "The tenant had no endpoint."
        )
    return " ".join(details)


def _wait_text(waiting: WaitingOut) -> str:
    before = (
        f"Events before it in its partition that are not done: {waiting.events_before:,}."
        if waiting.events_before
        else "It is the oldest event of its partition that is not done."
    )
    match waiting.state:
        case "no_worker":
            return f"No worker runs on its partition. {before}"
        case "rebalancing":
            return f"The workers are being assigned their partitions. {before}"
        case "backoff" if waiting.held_by is not None and waiting.events_before:
            held = waiting.held_by
            return (
                f"{before} The oldest waits since {waiting.since}: {held.customer_id} "
                f"{held.endpoint_id}, {held.code}, attempt {held.attempt} of {held.attempt_max}."
            )
        case "not_attempted":
            return f"{before} The worker has made no attempt at the oldest since {waiting.since}."
        case _:
            return before


def _never_seen(search: Search | None) -> str:
    assert search is not None  # noqa: S101 - an event without an attempt is searched for
    listed = ", ".join(map(str, search.partitions))
    where = f"None of {search.records:,} records of `events` (partition {listed}) has this id"
    if search.waiting_before is not None:
        return (
            f"{where}, and the delivery log and the dead letters have no such event. Without Kafka "
            "an event is deleted once it is delivered or skipped."
        )
    if not search.is_complete:
        return (
            f"{where}. The search reached its limit, so older records of the time were not read. "
            "Name the customer to search one partition only."
        )
    return (
        f"{where}, and the delivery log and the dead letters have no such event. It was not "
        "published, was published for another customer, or before the time that was searched. "
        "Search from an earlier time with `since`."
    )
