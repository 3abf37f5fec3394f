"""Publishing: a tenant for itself, the operator for one tenant or for all."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hookseal.api import request_body
from hookseal.api.commands import idempotency_key, stable_id
from hookseal.api.operations import Access, Batch, Operation, Reply, Resource
from hookseal.api.ports import CURRENT_WITHIN_S
from hookseal.api.problems import Problem, unknown_tenant
from hookseal.api.schemas import CustomerId, Input, Output
from hookseal.delivery.ports import TRACEPARENT
from hookseal.domain.json_text import array_elements
from hookseal.domain.new_event import NewEventReader
from hookseal.errors import EventIdReusedError, InvalidEventError, InvalidInputError
from hookseal.seal.request import is_traceparent
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.event_rates import EventRates
    from hookseal.api.operations import Call
    from hookseal.api.ports import Events, TenantsModel
    from hookseal.domain.new_event import IdSource, NewEvent
    from hookseal.domain.record import Position

BATCH_EVENTS_MAX = 1000
BATCH_MAX_BYTES = 4 * 1024 * 1024

_JSON = "application/json"
_LINES = "application/x-ndjson"
# Blank lines are not events.
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_DESCRIPTION = f"""\
One event as a JSON object, or up to {BATCH_EVENTS_MAX:,} as a JSON array or as lines
(`{_LINES}`), in at most {BATCH_MAX_BYTES:,} bytes. A batch is published as a whole. If one of its
events is refused, none is published, and `field` names that event, counted from 0:
`events[3].type`. The operator may limit the events per second of a tenant: a request above the
limit is refused as a whole with `rate_limited`.

An event that is published again with the same `id` within ten minutes is not written again. The
response has the position of its first record. An event without an `id` gets one: derived from the
`Idempotency-Key` if the request has one, otherwise random."""


class EventCreate(Input, frozen=True):
    """An event to publish.

    Attributes:
        customer_id: The tenant. Optional with an API key, which publishes for its own tenant. An
            event of the admin key without it is a broadcast to every tenant that subscribes.
        data: Any JSON value. Its bytes are delivered unchanged.
        id: Unique within the tenant: visible ASCII without a dot.
        timestamp: RFC 3339. Default: the time of publishing.
        expires_at: RFC 3339. From then on no attempt is made, and the event is dead-lettered with
            the reason `expired`. Default: the event does not expire.
        ordering_key: At most 256 bytes in UTF-8. In the ordering mode `key`, events with the same
            one are delivered in order. Default: the customer id.
    """

    type: Annotated[str, Meta(min_length=1, max_length=255, examples=["order.paid"])]
    data: Any
    customer_id: CustomerId | None = None
    id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    timestamp: str | None = None
    expires_at: str | None = None
    ordering_key: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class EventPublished(Output, frozen=True):
    """A published event.

    Attributes:
        id: The event id, which receivers get as `webhook-id`.
        partition: Partition of `events`; null for a broadcast.
        offset: Offset on `events`; null for a broadcast.
        partitions: Number of partitions that have a copy of a broadcast.
    """

    id: str
    partition: int | None
    offset: int | None
    partitions: int | UnsetType = UNSET


class EventsPublished(Output, frozen=True):
    """The events of a batch, in their order."""

    items: list[EventPublished]


# From the trace context of the request and the number of events, to that of the events.
Trace = Callable[[str | None, int], str | None]


@dataclass(frozen=True, kw_only=True)
class EventOperations(Resource):
    """`/v1/events`."""

    events: Events
    model: TenantsModel
    event_max_bytes: int
    rates: EventRates
    trace: Trace | None = None

    @Operation(
        "POST",
        "/v1/events",
        "Events",
        access=Access.ANY,
        scope="events:write",
        status=HTTPStatus.ACCEPTED,
        takes=EventCreate,
        returns=EventPublished,
        description=_DESCRIPTION,
        batch=Batch(BATCH_EVENTS_MAX, EventsPublished, _LINES),
        problems={
            HTTPStatus.NOT_FOUND: ("unknown_tenant",),
            HTTPStatus.CONFLICT: ("event_id_reused", "idempotency_key_reused"),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
                "payload_too_large",
                "batch_too_large",
                "record_too_large",
            ),
            HTTPStatus.TOO_MANY_REQUESTS: ("rate_limited",),
            HTTPStatus.SERVICE_UNAVAILABLE: (
                "broker_unreachable",
                "publish_failed",
                "queue_full",
                "record_refused",
                "redis_unreachable",
            ),
        },
    )
    async def publish_events(self, call: Call) -> Reply:
        """Publish an event, or a batch of events."""
        media_type = request_body.check_media_type(call.request, _JSON, _LINES)
        key = idempotency_key(call)
        text = await call.reader.read(max_bytes=BATCH_MAX_BYTES, code="payload_too_large")
        texts, is_batch = _split(text, media_type)
        drafts = self._drafts(call, texts, key, is_batch=is_batch)
        await self._check_tenants(call, drafts, is_batch=is_batch)
        self.rates.admit(draft.customer_id for draft in drafts if not draft.is_broadcast)
        drafts = self._traced(call, drafts)
        try:
            positions = await self.events.publish_many(drafts)
        except EventIdReusedError as error:
            raise _reused(error, drafts, is_batch=is_batch) from None
        metrics.PUBLISHED.inc(len(drafts))
        items = [_published(draft, at) for draft, at in zip(drafts, positions, strict=True)]
        return Reply(EventsPublished(items=items) if is_batch else items[0])

    def _drafts(
        self, call: Call, texts: Sequence[bytes], key: str | None, *, is_batch: bool
    ) -> list[NewEvent]:
        own = call.principal.customer_id
        reader = NewEventReader(
            self.event_max_bytes,
            customer_id=own,
            broadcast="unaddressed" if own is None else "none",
        )
        drafts: list[NewEvent] = []
        for index, text in enumerate(texts):
            spare_from: IdSource = "random" if key is None else "request"
            spare_id = f"evt_{token_hex(16)}"
            if key is not None:
                # With the principal: two keys may send the same Idempotency-Key.
                spare_id = stable_id("evt", own or "", call.principal.id, key, str(index))
            try:
                drafts.append(reader.read(text, spare_id=spare_id, spare_from=spare_from))
            except InvalidEventError as error:
                field = _field(index, error.field, is_batch=is_batch)
                raise InvalidEventError(error.code, error.message, field=field) from None
        return drafts

    def _traced(self, call: Call, drafts: list[NewEvent]) -> list[NewEvent]:
        context = call.request.headers.get(TRACEPARENT)
        if context is not None and not is_traceparent(context):
            context = None
        if self.trace is not None:
            context = self.trace(context, len(drafts))
        if context is None:
            return drafts
        header = (TRACEPARENT, context.encode())
        return [msgspec.structs.replace(draft, more=(*draft.more, header)) for draft in drafts]

    async def _check_tenants(
        self, call: Call, drafts: Sequence[NewEvent], *, is_batch: bool
    ) -> None:
        own = call.principal.customer_id
        named = {draft.customer_id for draft in drafts if not draft.is_broadcast}
        unknown = await self._unknown(named) if own is None else named - {own}
        for index, draft in enumerate(drafts):
            if draft.customer_id in unknown:
                raise unknown_tenant(_field(index, "customer_id", is_batch=is_batch))

    async def _unknown(self, named: set[str]) -> set[str]:
        """Return those of these customers that certainly do not exist.

        While the tenants are not ready, the worker decides, and dead-letters their events.
        """
        if self.model.why_not_ready() is not None:
            return set()
        unknown = {one for one in named if self.model.get(one) is None}
        # Another process may have created them a moment ago.
        if not unknown or not await self.model.settle(CURRENT_WITHIN_S):
            return set()
        return {one for one in unknown if self.model.get(one) is None}


def _split(text: bytes, media_type: str) -> tuple[list[bytes], bool]:
    """Return the texts of the events, and whether they are a batch."""
    if media_type == _LINES:
        texts = []
        for match in _LINE.finditer(text):
            texts.append(match[0])
            if len(texts) > BATCH_EVENTS_MAX:
                break
    elif text.lstrip(b" \t\r\n")[:1] == b"[":
        texts = array_elements(text, most=BATCH_EVENTS_MAX)
    else:
        return [text], False
    if not texts:
        raise InvalidEventError("body_empty", "The body has no event. Send at least one.")
    if len(texts) > BATCH_EVENTS_MAX:
        raise InvalidInputError(
            "batch_too_large",
            f"The batch has more than {BATCH_EVENTS_MAX:,} events. Send several smaller batches.",
        )
    return texts, True


def _published(draft: NewEvent, positions: tuple[Position, ...]) -> EventPublished:
    event_id = draft.event_id or ""
    if draft.is_broadcast:
        return EventPublished(id=event_id, partition=None, offset=None, partitions=len(positions))
    ((partition, offset),) = positions
    return EventPublished(id=event_id, partition=partition, offset=offset)


def _reused(error: EventIdReusedError, drafts: Sequence[NewEvent], *, is_batch: bool) -> Problem:
    if drafts[error.index].id_from == "request":
        return Problem(
            HTTPStatus.CONFLICT,
            "idempotency_key_reused",
            "This Idempotency-Key was used for another event within ten minutes. Send a new one "
            "with each request.",
            field="Idempotency-Key",
        )
    field = _field(error.index, "id", is_batch=is_batch)
    return Problem(HTTPStatus.CONFLICT, error.code, error.message, field=field)


def _field(index: int, field: str | None, *, is_batch: bool) -> str | None:
    if not is_batch:
        return field
    return f"events[{index}]" if field is None else f"events[{index}].{field}"
