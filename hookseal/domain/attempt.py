"""Results of attempts and outcomes of deliveries."""

from __future__ import annotations

import msgspec


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request of a delivery.

    Attributes:
        number: Counted from 1.
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status, or None when no answer came.
        duration_s: Seconds from connect to last byte, to a tenth of a millisecond.
        kid: The public key it was sealed to.
    """

    endpoint_id: str
    number: int
    of: int
    code: str
    status: int | None
    duration_s: float
    kid: str


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a delivery ended.

    Attributes:
        accepted: Whether the endpoint took it; otherwise it is to be dead-lettered.
        code: `accepted`, or the reason of the dead letter.
        status: The last HTTP status, if there was any.
        first_attempt_at: Unix seconds of the first attempt, if there was any.
    """

    accepted: bool
    code: str
    attempts: int = 0
    error: str = ""
    status: int | None = None
    first_attempt_at: float | None = None
