"""The event that a handler gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hookseal_receiver.errors import VerificationError

__all__ = ["Event"]

_TEXTS = ("id", "type", "timestamp", "customer_id", "endpoint_id")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, verified and opened.

    Attributes:
        id: The event id; the same for every attempt, and at every endpoint of the event.
        type: Dotted name, `order.paid`.
        timestamp: RFC 3339, of the event and not of the attempt.
        customer_id: Who it was published for.
        endpoint_id: Where it was sent.
        data: What was published, parsed. Of a member that comes twice the last one is
            kept, and a number with a fraction or an exponent becomes a float.
        plaintext: All of the above as JSON, byte for byte as it was sealed; for whoever
            needs the numbers of `data` as they were written.
    """

    id: str
    type: str
    timestamp: str
    customer_id: str
    endpoint_id: str
    data: Any = field(repr=False)
    plaintext: bytes = field(repr=False)

    @property
    def delivery(self) -> str:
        """Identifies a repeat: the event at this endpoint.

        The id alone does not: an event has the same one at each of its endpoints, and one
        program may serve several of them.
        """
        return f"{self.endpoint_id} {self.id}"

    @classmethod
    def parse(cls, plaintext: bytes) -> Event:
        """Read the event out of an opened body.

        Raises:
            VerificationError: `event_invalid`.
        """
        try:
            members = json.loads(plaintext, parse_constant=_refuse)
        # Of deep nesting; and a text of bytes that are no UTF-8 is a ValueError.
        except (ValueError, RecursionError):
            raise VerificationError("event_invalid") from None
        if not isinstance(members, dict) or "data" not in members:
            raise VerificationError("event_invalid")
        texts = {name: text for name in _TEXTS if isinstance(text := members.get(name), str)}
        if len(texts) != len(_TEXTS):
            raise VerificationError("event_invalid")
        return cls(**texts, data=members["data"], plaintext=plaintext)


def _refuse(constant: str) -> Any:
    # json.loads takes NaN and Infinity, which JSON does not have (RFC 8259 section 6).
    raise ValueError(constant)
