"""From a line of text to a record of `events`: checked as a worker will check it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson

from hookseal.domain.event import BROADCAST_HEADER, check_customer_id, parse_event
from hookseal.domain.json_text import data_member, validate
from hookseal.domain.record import Record
from hookseal.errors import InvalidEventError

if TYPE_CHECKING:
    from hookseal.domain.record import Headers

__all__ = ["Draft", "EventReader"]

_MEMBERS = ("customer_id", "type", "id", "timestamp", "data")


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be published.

    Attributes:
        key: The customer id; None for a broadcast.
        value: The event in its plain form.
        headers: The broadcast's mark, or none.
    """

    key: bytes | None
    value: bytes
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class EventReader:
    """Reads events, and fills in what they leave out.

    Attributes:
        max_bytes: Bytes a value may have.
        customer_id: For events that name no customer.
        event_type: For events that name no type.
        broadcast: Whether the events are for all tenants that subscribe.
    """

    max_bytes: int
    customer_id: str | None = None
    event_type: str | None = None
    broadcast: bool = False

    def read(self, line: bytes) -> Draft:
        """Read `{"customer_id"?, "type"?, "data", "id"?, "timestamp"?}`.

        Raises:
            InvalidEventError: As `parse_event`; `member_unknown`, `customer_id_missing`,
                `customer_id_unexpected`.
        """
        document = validate(line)
        if not isinstance(document, dict):
            raise InvalidEventError("body_not_object", "The event is JSON, but not an object.")
        unknown = [name for name in document if name not in _MEMBERS]
        if unknown:
            # A misspelt customer_id would else fall back to --customer in silence.
            raise InvalidEventError(
                "member_unknown", f"An event has only {', '.join(_MEMBERS)}.", field=unknown[0]
            )
        return self.draft(
            customer_id=document.get("customer_id"),
            event_type=document.get("type"),
            event_id=document.get("id"),
            timestamp=document.get("timestamp"),
            data=data_member(line),
        )

    def draft(
        self,
        *,
        data: bytes | None,
        customer_id: object = None,
        event_type: object = None,
        event_id: object = None,
        timestamp: object = None,
    ) -> Draft:
        """Return the event in its plain form, its data byte for byte.

        Raises:
            InvalidEventError: As `read`.
        """
        if self.broadcast and event_id is None:
            # Derived from where it stands it would differ from partition to partition.
            event_id = f"evt_{uuid4().hex}"
        members = {
            "type": self.event_type if event_type is None else event_type,
            "id": event_id,
            "timestamp": timestamp,
        }
        parts = [
            b'"%s":%s' % (name.encode(), orjson.dumps(value))
            for name, value in members.items()
            if value is not None
        ]
        if data is not None:
            parts.append(b'"data":' + data)
        draft = Draft(
            self._key(customer_id),
            b"{" + b",".join(parts) + b"}",
            ((BROADCAST_HEADER, b"1"),) if self.broadcast else (),
        )
        record = Record("events", 0, 0, draft.key, draft.value, draft.headers)
        parse_event(record, max_bytes=self.max_bytes)
        return draft

    def _key(self, customer_id: object) -> bytes | None:
        if self.broadcast:
            if customer_id is not None or self.customer_id is not None:
                raise InvalidEventError(
                    "customer_id_unexpected",
                    "A broadcast is for all tenants; give no customer.",
                    field="customer_id",
                )
            return None
        if customer_id is None:
            customer_id = self.customer_id
        if customer_id is None:
            raise InvalidEventError(
                "customer_id_missing",
                "Say whose event it is, by `customer_id` or by --customer.",
                field="customer_id",
            )
        # A number would have a key, but not the one that its sender means.
        return check_customer_id(customer_id if isinstance(customer_id, str) else "").encode()
