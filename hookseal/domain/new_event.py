"""Builds records of `events`: from a JSON object, or as a notice to a tenant.

The checks are those of a worker. A notice is an event of hookseal's own: a changed key, a test.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import orjson

from hookseal.domain.command import AddPublicKey, RemovePublicKey
from hookseal.domain.event import (
    BROADCAST_HEADER,
    ENDPOINT_ID_HEADER,
    EVENT_ID_HEADER,
    ORDERING_KEY_HEADER,
    SEAL_TO_HEADER,
    check_customer_id,
    check_event_id,
    check_event_type,
    check_expiry,
    check_ordering_key,
    check_timestamp,
    is_reserved,
)
from hookseal.domain.json_text import data_member, validate
from hookseal.domain.record import Headers
from hookseal.errors import InvalidEventError

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import PublicKey, Tenant

MEMBERS = ("customer_id", "type", "id", "timestamp", "expires_at", "ordering_key", "data")
# A document may have more bytes than its event: other members, escapes, white space.
SURPLUS_MAX_BYTES = 8 * 1024

KEY_CHANGED = "hookseal.key.changed"
TEST = "hookseal.test"

IdSource = Literal["event", "request", "random", "position"]


class NewEvent(msgspec.Struct, frozen=True):
    """An event to publish.

    `customer_id` is empty for a broadcast. `id_from` is the origin of the id: a member of the
    `event`, the `request`, `random`, or the record's `position`, from which the worker derives it.
    """

    customer_id: str
    value: bytes
    event_id: str | None
    id_from: IdSource
    more: Headers = ()

    @property
    def is_broadcast(self) -> bool:
        """Whether the event is for every tenant that subscribes."""
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
        """The record's headers: a chosen id, to detect duplicates, and the mark of a broadcast."""
        headers: Headers = ()
        if self.has_chosen_id and self.event_id is not None:
            headers = ((EVENT_ID_HEADER, self.event_id.encode()),)
        if self.is_broadcast:
            headers = (*headers, (BROADCAST_HEADER, b"1"))
        return (*headers, *self.more)


class NewEventReader(msgspec.Struct, frozen=True):
    """Parses events and fills in missing members.

    `max_bytes` limits a record's value. `broadcast` selects the events for all tenants: `none`,
    those without a customer (`unaddressed`), or `every` one, so that a customer is an error.
    """

    max_bytes: int
    customer_id: str | None = None
    event_type: str | None = None
    broadcast: Literal["none", "unaddressed", "every"] = "none"

    def read(
        self, text: bytes, *, spare_id: str | None = None, spare_from: IdSource = "random"
    ) -> NewEvent:
        """Read a plain event: `data`, and any other of `MEMBERS`.

        `spare_id` is the id of an event without one, and `spare_from` its origin. Raises
        InvalidEventError: as `parse_event`, and `member_unknown`, `customer_id_missing`,
        `customer_id_unexpected`, `type_reserved`.
        """
        if len(text) > self.max_bytes + SURPLUS_MAX_BYTES:
            # Checked before parsing: parsed brackets need thirty times their size in memory.
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
            expires_at=document.get("expires_at"),
            ordering_key=document.get("ordering_key"),
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
        expires_at: object = None,
        ordering_key: object = None,
        spare_id: str | None = None,
        spare_from: IdSource = "random",
    ) -> NewEvent:
        """Return the event in its plain form, its data byte for byte; raises as `read`."""
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
        if expires_at is not None:
            value += b',"expires_at":' + orjson.dumps(check_expiry(expires_at))
        value += b',"data":' + data + b"}"
        if len(value) > self.max_bytes:
            raise _too_large(len(value), self.max_bytes)
        more: Headers = ()
        if ordering_key is not None:
            # A header: the value may be encrypted at rest.
            more = ((ORDERING_KEY_HEADER, check_ordering_key(ordering_key).encode()),)
        return NewEvent(whose, value, checked_id, id_from, more)

    def _customer(self, customer_id: object) -> str:
        if self.broadcast == "every":
            if customer_id is not None or self.customer_id is not None:
                raise InvalidEventError(
                    "customer_id_unexpected", "A broadcast has no customer.", field="customer_id"
                )
            return ""
        if customer_id is None:
            customer_id = self.customer_id
        if customer_id is None:
            if self.broadcast == "unaddressed":
                return ""
            raise InvalidEventError(
                "customer_id_missing", "Set `customer_id` or --customer.", field="customer_id"
            )
        # The text of a number may not be the key that its sender means.
        return check_customer_id(customer_id if isinstance(customer_id, str) else "")


def _check_members(document: dict[str, Any]) -> None:
    if unknown := [name for name in document if name not in MEMBERS]:
        # Otherwise a misspelt customer_id silently falls back to --customer.
        shown = "".join(letter if letter.isprintable() else "?" for letter in unknown[0][:100])
        raise InvalidEventError(
            "member_unknown", f"An event has only {', '.join(MEMBERS)}.", field=shown
        )


def _type_member(event_type: object) -> bytes:
    # Before the cache: 1, True and 1.0 are the same key to it, and a list is not hashable.
    text = event_type if isinstance(event_type, str) else check_event_type(event_type)
    return _text_type_member(text)


# There are few types and many events.
@lru_cache(maxsize=4096)
def _text_type_member(event_type: str) -> bytes:
    if is_reserved(check_event_type(event_type)):
        raise InvalidEventError(
            "type_reserved",
            "Event types that begin with `hookseal.` are reserved. Choose another type.",
            field="type",
        )
    return b'{"type":' + orjson.dumps(event_type)


def _too_large(size: int, limit: int) -> InvalidEventError:
    return InvalidEventError("payload_too_large", f"The event has {size} bytes; at most {limit}.")


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of hookseal's own. Its id is the same for the same change."""

    customer_id: str
    event_id: str
    value: bytes
    headers: Headers


def key_changed(command: Command, before: Tenant | None, after: Tenant | None) -> Notice | None:
    """Return the notice that the applied command changed the active public key, or None.

    It is encrypted to the previous key, so that an attacker who replaced the key cannot hide the
    change from its owner. `before` equals `after` if the command had been applied earlier.
    """
    if before is None or after is None or after.result_of(command.id) != "ok":
        return None
    if isinstance(command, AddPublicKey):
        old = _before(after, command.kid)
        new: str | None = command.kid
    elif isinstance(command, RemovePublicKey):
        active = before.active_key
        old = active if active is not None and active.kid == command.kid else None
        new = None
    else:
        return None
    if old is None:
        return None
    digest = hashlib.sha256(f"{after.customer_id}\n{command.id}".encode()).hexdigest()
    return _notice(
        after.customer_id,
        KEY_CHANGED,
        f"evt_key_{digest[:32]}",
        {"previous_kid": old.kid, "kid": new},
        ((SEAL_TO_HEADER, msgspec.json.encode(old)),),
    )


def endpoint_test(customer_id: str, endpoint_id: str, event_id: str) -> Notice:
    """Return a test event for this endpoint only."""
    return _notice(
        customer_id,
        TEST,
        event_id,
        {"message": "This is a test event, requested at the API."},
        ((ENDPOINT_ID_HEADER, endpoint_id.encode()),),
    )


def _before(tenant: Tenant, kid: str) -> PublicKey | None:
    """Return the key that was added before this one."""
    kids = [key.kid for key in tenant.public_keys]
    index = kids.index(kid) if kid in kids else 0
    return tenant.public_keys[index - 1] if index else None


def _notice(
    customer_id: str, event_type: str, event_id: str, data: dict[str, Any], headers: Headers
) -> Notice:
    value = orjson.dumps({"type": event_type, "id": event_id, "data": data})
    return Notice(customer_id, event_id, value, headers)
