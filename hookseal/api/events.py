"""`POST /v1/events`: tenants publish for themselves, the operator for one tenant or for all."""

from __future__ import annotations

import re
from http import HTTPStatus
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

import msgspec

from hookseal.api import request_body
from hookseal.api.commands import idempotency_key, stable_id
from hookseal.api.operations import Access, Batch, Operation, Reply
from hookseal.api.principals import unknown_tenant
from hookseal.api.problems import Problem
from hookseal.api.schemas import EventCreate, EventPublished, EventsPublished
from hookseal.delivery.ports import TRACEPARENT
from hookseal.domain.json_text import array_elements
from hookseal.domain.new_event import NewEventReader
from hookseal.errors import EventIdReusedError, InvalidEventError, InvalidInputError
from hookseal.seal.request import is_traceparent
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.operations import Call
    from hookseal.api.ports import Events, TenantsModel
    from hookseal.domain.new_event import IdSource, NewEvent
    from hookseal.domain.record import Position

BATCH_EVENTS_MAX = 1000
BATCH_MAX_BYTES = 4 * 1024 * 1024
_SETTLE_S = 1.0

_JSON = "application/json"
_LINES = "application/x-ndjson"
# From the first character that is no space: blank lines are not events.
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_DESCRIPTION = f"""\
One event as a JSON object, or up to {BATCH_EVENTS_MAX:,} as an array of them or as lines
(`{_LINES}`), in at most {BATCH_MAX_BYTES:,} bytes. A batch is published as a whole or, if one of
its events is refused, not at all; `field` then names the event, `events[3].type`, counted from 0.

An event that is published again with the same `id` within ten minutes is not written again, and
answered with its first place. Without an `id` one is made: from the `Idempotency-Key`, if that is
given, else by chance."""


class Trace(Protocol):
    """Called when events are published."""

    def __call__(self, traceparent: str | None, events: int, /) -> str | None:
        """Return the trace context of the events, given the one of the request."""
        ...


class EventOperations:
    """`/v1/events`.

    Args:
        event_max_bytes: Bytes of an event's value.
        trace: Called when events are published.
    """

    def __init__(
        self,
        *,
        events: Events,
        model: TenantsModel,
        event_max_bytes: int,
        trace: Trace | None = None,
    ) -> None:
        self._trace: Trace = trace or _as_it_came
        self._events = events
        self._model = model
        self._event_max_bytes = event_max_bytes
        self._broadcasting = NewEventReader(event_max_bytes, broadcast="unaddressed")

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "POST",
                "/v1/events",
                "publishEvents",
                "Publish an event, or a batch of them.",
                "Events",
                self._publish,
                access=Access.ANY,
                scope="events:write",
                status=HTTPStatus.ACCEPTED,
                takes=EventCreate,
                returns=EventPublished,
                description=_DESCRIPTION,
                batch=Batch(BATCH_EVENTS_MAX, EventsPublished, _LINES),
                once=True,
                raw=True,
                problems={
                    HTTPStatus.NOT_FOUND: ("unknown_tenant",),
                    HTTPStatus.CONFLICT: ("event_id_reused", "idempotency_key_reused"),
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
                        "payload_too_large",
                        "batch_too_large",
                        "record_too_large",
                    ),
                    HTTPStatus.SERVICE_UNAVAILABLE: (
                        "broker_unreachable",
                        "publish_failed",
                        "queue_full",
                        "record_refused",
                        "redis_unreachable",
                    ),
                },
            ),
        )

    async def _publish(self, call: Call) -> Reply:
        media_type = request_body.check_media_type(call.request, _JSON, _LINES)
        key = idempotency_key(call)
        text = await call.reader.read(max_bytes=BATCH_MAX_BYTES, code="payload_too_large")
        texts, is_batch = _split(text, media_type)
        drafts = self._drafts(call, texts, key, is_batch=is_batch)
        await self._check_tenants(call, drafts, is_batch=is_batch)
        drafts = self._traced(call, drafts)
        try:
            places = await self._events.publish_many(drafts)
        except EventIdReusedError as error:
            raise _reused(error, drafts, is_batch=is_batch) from None
        metrics.PUBLISHED.inc(len(drafts))
        shown = [_shown(draft, of) for draft, of in zip(drafts, places, strict=True)]
        return Reply(EventsPublished(items=shown) if is_batch else shown[0])

    def _drafts(
        self, call: Call, texts: Sequence[bytes], key: str | None, *, is_batch: bool
    ) -> list[NewEvent]:
        own = call.principal.customer_id
        reader = self._broadcasting
        if own is not None:
            reader = NewEventReader(self._event_max_bytes, customer_id=own)
        drafts: list[NewEvent] = []
        for index, text in enumerate(texts):
            spare_from: IdSource = "random" if key is None else "request"
            # Two principals' keys have nothing to do with one another.
            spare_id = _new_id() if key is None else stable_id("evt", own or "", key, str(index))
            try:
                drafts.append(reader.read(text, spare_id=spare_id, spare_from=spare_from))
            except InvalidEventError as error:
                field = _field(index, error.field) if is_batch else error.field
                raise InvalidEventError(error.code, error.message, field=field) from None
        return drafts

    def _traced(self, call: Call, drafts: list[NewEvent]) -> list[NewEvent]:
        came = call.request.headers.get(TRACEPARENT)
        context = self._trace(came if came and is_traceparent(came) else None, len(drafts))
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
                field = _field(index, "customer_id") if is_batch else "customer_id"
                raise unknown_tenant(field)

    async def _unknown(self, named: set[str]) -> set[str]:
        """Return those of these customers who are none for certain.

        While the tenants are not known, the worker decides: it dead-letters unknown ones.
        """
        if self._model.why_not_ready() is not None:
            return set()
        unknown = {one for one in named if self._model.get(one) is None}
        # Another process may have created them a moment ago.
        if not unknown or not await self._model.settle(_SETTLE_S):
            return set()
        return {one for one in unknown if self._model.get(one) is None}


def _as_it_came(traceparent: str | None, _: int) -> str | None:
    return traceparent


def _split(text: bytes, media_type: str) -> tuple[list[bytes], bool]:
    """Return the events' texts, and whether they are a batch."""
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
        raise InvalidEventError("body_empty", "There is no event in the body; send one at least.")
    if len(texts) > BATCH_EVENTS_MAX:
        raise InvalidInputError(
            "batch_too_large", f"Send at most {BATCH_EVENTS_MAX} events in a batch."
        )
    return texts, True


def _shown(draft: NewEvent, places: tuple[Position, ...]) -> EventPublished:
    event_id = draft.event_id or ""
    if draft.is_broadcast:
        return EventPublished(id=event_id, partition=None, offset=None, partitions=len(places))
    ((partition, offset),) = places
    return EventPublished(id=event_id, partition=partition, offset=offset)


def _reused(error: EventIdReusedError, drafts: Sequence[NewEvent], *, is_batch: bool) -> Problem:
    if drafts[error.index].id_from == "request":
        return Problem(
            HTTPStatus.CONFLICT,
            "idempotency_key_reused",
            "This Idempotency-Key was used for another event a moment ago; give each request "
            "its own.",
            field="Idempotency-Key",
        )
    field = _field(error.index, "id") if is_batch else "id"
    return Problem(HTTPStatus.CONFLICT, error.code, error.message, field=field)


def _field(index: int, field: str | None) -> str:
    return f"events[{index}]" if field is None else f"events[{index}].{field}"


def _new_id() -> str:
    return f"evt_{token_hex(16)}"
