"""From a JSON object to a record of `events`: checked as a worker will check it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec
import orjson

from hookseal.domain.event import (
    BROADCAST_HEADER,
    EVENT_ID_HEADER,
    check_customer_id,
    check_event_id,
    check_event_type,
    check_timestamp,
    is_reserved,
)
from hookseal.domain.json_text import data_member, validate
from hookseal.domain.record import Headers
from hookseal.errors import InvalidEventError

MEMBERS = ("customer_id", "type", "id", "timestamp", "data")
# What a document may have besides its event: other members, spelt with escapes, and space.
SURPLUS_MAX_BYTES = 8 * 1024

IdSource = Literal["event", "request", "random", "position"]


class NewEvent(msgspec.Struct, frozen=True):
    """An event to publish.

    Attributes:
        customer_id: The tenant; empty for a broadcast.
        event_id: None = the worker derives it from the position of the record.
        id_from: Who chose the id: the `event` names it, the `request` implies it, it was
            drawn by `random`, or there is none but the `position`.
        more: Headers besides those that follow from the rest.
    """

    customer_id: str
    value: bytes
    event_id: str | None
    id_from: IdSource
    more: Headers = ()

    @property
    def is_broadcast(self) -> bool:
        """Whether it is for every tenant that subscribes."""
        return not self.customer_id

    @property
    def has_chosen_id(self) -> bool:
        """Whether the publisher chose the id, so that a repeat has the same one."""
        return self.id_from in {"event", "request"}

    @property
    def key(self) -> bytes | None:
        """The record's key: the customer id, None for a broadcast."""
        return self.customer_id.encode() or None

    @property
    def headers(self) -> Headers:
        """The record's headers: a chosen id, so that it is found again, a broadcast's mark."""
        headers: Headers = ()
        if self.has_chosen_id and self.event_id is not None:
            headers = ((EVENT_ID_HEADER, self.event_id.encode()),)
        if self.is_broadcast:
            headers = (*headers, (BROADCAST_HEADER, b"1"))
        return (*headers, *self.more)


class NewEventReader(msgspec.Struct, frozen=True):
    """Parses events and fills in missing members.

    Attributes:
        max_bytes: Bytes that a record's value may have.
        broadcast: Which events are for all tenants: `none`, those that name no customer
            (`unaddressed`), or `every` one, so that naming a customer is an error.
    """

    max_bytes: int
    customer_id: str | None = None
    event_type: str | None = None
    broadcast: Literal["none", "unaddressed", "every"] = "none"

    def read(
        self, text: bytes, *, spare_id: str | None = None, spare_from: IdSource = "random"
    ) -> NewEvent:
        """Read `{"customer_id"?, "type"?, "data", "id"?, "timestamp"?}`.

        Raises:
            InvalidEventError: As `parse_event`; `member_unknown`, `customer_id_missing`,
                `customer_id_unexpected`, `type_reserved`.
        """
        if len(text) > self.max_bytes + SURPLUS_MAX_BYTES:
            # Checked before parsing: brackets need thirty times their size in memory.
            raise _too_large(len(text), self.max_bytes)
        document = validate(text)
        if not isinstance(document, dict):
            raise InvalidEventError("body_not_object", "The event is JSON, but not an object.")
        _check_members(document)
        return self.draft(
            data=data_member(text),
            customer_id=document.get("customer_id"),
            event_type=document.get("type"),
            event_id=document.get("id"),
            timestamp=document.get("timestamp"),
            spare_id=spare_id,
            spare_from=spare_from,
        )

    def draft(
        self,
        *,
        data: bytes | None,
        customer_id: object = None,
        event_type: object = None,
        event_id: object = None,
        timestamp: object = None,
        spare_id: str | None = None,
        spare_from: IdSource = "random",
    ) -> NewEvent:
        """Return the event in its plain form, its data byte for byte.

        Args:
            customer_id: Or None, as all that follow.
            timestamp: RFC 3339.
            spare_id: As in `read`.
            spare_from: As in `read`.

        Raises:
            InvalidEventError: As `read`.
        """
        whose = self._customer(customer_id)
        if data is None:
            raise InvalidEventError("data_missing", "The event has no `data`.", field="data")
        value = _type_member(self.event_type if event_type is None else event_type)
        id_from: IdSource = "event"
        if event_id is None:
            event_id, id_from = spare_id, "position" if spare_id is None else spare_from
        checked_id = None if event_id is None else check_event_id(event_id)
        if checked_id is not None:
            value += b',"id":' + orjson.dumps(checked_id)
        if timestamp is not None:
            value += b',"timestamp":' + orjson.dumps(check_timestamp(timestamp))
        value += b',"data":' + data + b"}"
        if len(value) > self.max_bytes:
            raise _too_large(len(value), self.max_bytes)
        return NewEvent(whose, value, checked_id, id_from)

    def _customer(self, customer_id: object) -> str:
        if self.broadcast == "every":
            if customer_id is not None or self.customer_id is not None:
                raise InvalidEventError(
                    "customer_id_unexpected",
                    "A broadcast is for all tenants; give no customer.",
                    field="customer_id",
                )
            return ""
        if customer_id is None:
            customer_id = self.customer_id
        if customer_id is None:
            if self.broadcast == "unaddressed":
                return ""
            raise InvalidEventError(
                "customer_id_missing",
                "Say whose event it is, by `customer_id` or by --customer.",
                field="customer_id",
            )
        # A number would have a key, but not the one that its sender means.
        return check_customer_id(customer_id if isinstance(customer_id, str) else "")


def _check_members(document: dict[str, Any]) -> None:
    if unknown := [name for name in document if name not in MEMBERS]:
        # A misspelt customer_id would else fall back to --customer in silence.
        raise InvalidEventError(
            "member_unknown", f"An event has only {', '.join(MEMBERS)}.", field=_shown(unknown[0])
        )


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:100])


def _type_member(event_type: object) -> bytes:
    # Before the cache: 1, True and 1.0 are one key to it, and a list is none.
    return _text_type_member(
        event_type if isinstance(event_type, str) else check_event_type(event_type)
    )


# There are few types and many events.
@lru_cache(maxsize=4096)
def _text_type_member(event_type: str) -> bytes:
    if is_reserved(check_event_type(event_type)):
        raise InvalidEventError(
            "type_reserved",
            "Types that begin with `hookseal.` are hookseal's own; choose another one.",
            field="type",
        )
    return b'{"type":' + orjson.dumps(event_type)


def _too_large(size: int, limit: int) -> InvalidEventError:
    return InvalidEventError(
        "payload_too_large", f"The event has {size} bytes; at most {limit} are allowed."
    )
