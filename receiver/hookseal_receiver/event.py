"""The event that a handler gets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hookseal_receiver.errors import VerificationError

_TEXTS = ("id", "type", "timestamp", "customer_id", "endpoint_id")


@dataclass(frozen=True, slots=True)
class Event:
    """One event, verified and decrypted.

    Attributes:
        id: The event id; equal for all attempts and all endpoints of the event.
        type: Dotted name, `order.paid`.
        timestamp: RFC 3339; time of the event, not of the attempt.
        data: The published data, parsed. Of duplicate members the last one counts, and a
            number with a fraction or an exponent becomes a float.
        plaintext: All of the above as JSON, byte for byte as it was encrypted, for numbers as
            they were written.
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
        """The event at this endpoint: equal for repeats only.

        The id alone is not: one program may serve several endpoints of an event.
        """
        return f"{self.endpoint_id} {self.id}"

    @classmethod
    def parse(cls, plaintext: bytes) -> Event:
        """Parse a decrypted body.

        Raises:
            VerificationError: `event_invalid`.
        """
        try:
            members = json.loads(plaintext, parse_constant=_refuse)
        # RecursionError: deep nesting. ValueError: invalid UTF-8, too.
        except (ValueError, RecursionError):
            raise VerificationError("event_invalid") from None
        if not isinstance(members, dict) or "data" not in members:
            raise VerificationError("event_invalid")
        texts = {name: text for name in _TEXTS if isinstance(text := members.get(name), str)}
        if len(texts) != len(_TEXTS):
            raise VerificationError("event_invalid")
        return cls(**texts, data=members["data"], plaintext=plaintext)


def _refuse(constant: str) -> Any:
    # json.loads accepts NaN and Infinity, which are not JSON (RFC 8259 section 6).
    raise ValueError(constant)
