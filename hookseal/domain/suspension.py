"""Suspension of an endpoint: reason, start, and position of its deferred events."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

Why = Literal["exhausted", "behind"]
"""`exhausted`: consecutive events used up their attempts. `behind`: a queue for it was full."""

_INTERNAL_SERVER_ERROR = 500
_CLIENT_ERRORS = range(400, 500)
# RFC 9110 section 15.5, RFC 4918, RFC 6585, RFC 8470: about the sender, the target or the rate, not
# about the content.
_OF_THE_RECEIVER = frozenset({401, 402, 403, 404, 405, 407, 408, 410, 421, 423, 425, 429})


class Suspension(msgspec.Struct, frozen=True, omit_defaults=True):
    """The suspension in the tenants table.

    Attributes:
        since: Unix seconds.
        owner: The worker that may end it. The name changes with each assignment, so that a worker
            that was frozen loses the right.
        letters_from: Offset on `dead-letters`, in the tenant's partition, below which no deferred
            event is left.
        resume_asked_at: Unix seconds of the request to resume; None = no request.
    """

    since: float
    why: Why
    owner: str
    letters_from: int
    resume_asked_at: float | None = None


class Blame(Enum):
    """Whether the endpoint or the event caused a failed attempt."""

    RECEIVER = "receiver"
    EVENT = "event"
    UNCLEAR = "unclear"


def blame(status: int | None) -> Blame:
    """Judge a failed attempt to deliver a deferred event, by its HTTP status (None = no response).

    An outage must never exhaust an event. An event that the receiver refuses for its content must
    not block the events behind it. So client errors about the content blame the `EVENT`. 500 is
    `UNCLEAR`: receivers answer it for a bad event and for an outage.
    """
    if status == _INTERNAL_SERVER_ERROR:
        return Blame.UNCLEAR
    if status in _CLIENT_ERRORS and status not in _OF_THE_RECEIVER:
        return Blame.EVENT
    return Blame.RECEIVER
