"""Attempts, outcomes of deliveries, and the record of an attempt on `deliveries` (JSON)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from hookseal.domain.event import Event

# JSON bounds no number, and the index cannot store a larger one, or show it as RFC 3339.
_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_YEAR_10000 = 253_402_300_800
_Seconds = Annotated[float, Meta(ge=0, lt=_YEAR_10000)]


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request of a delivery.

    Attributes:
        number: Counted from 1.
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status; None = no response.
        duration_s: Seconds from connect to last byte, to a tenth of a millisecond.
        kid: The public key to which the body was encrypted.
    """

    endpoint_id: str
    number: int
    of: int
    code: str
    status: int | None
    duration_s: float
    kid: str


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a delivery ended: accepted, or dead-lettered with the reason `code`.

    `status` is the last HTTP status, and `first_attempt_at` is in Unix seconds, if there were any.
    `suspends` is set if the attempts are exhausted and the last failure was the endpoint's.
    """

    accepted: bool
    code: str
    attempts: int = 0
    error: str = ""
    status: int | None = None
    first_attempt_at: float | None = None
    suspends: bool = False


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=False):
    """One attempt on `deliveries`. Never a payload, a URL or a secret.

    Attributes:
        at: Unix seconds at which it ended.
        worker: The process, `host:pid`.
    """

    at: _Seconds
    customer_id: str
    event_id: str
    event_type: str
    endpoint_id: str
    attempt: _Int64
    attempt_max: _Int64
    code: str
    status: _Int64 | None
    duration_s: _Seconds
    kid: str
    partition: _Int64
    offset: _Int64
    worker: str
    v: int = 1


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AttemptRecord)


def record_of(
    event: Event, customer_id: str, attempt: Attempt, *, at: float, worker: str
) -> AttemptRecord:
    """Return the record of an attempt that ended at Unix second `at`."""
    return AttemptRecord(
        at=round(at, 3),
        customer_id=customer_id,
        event_id=event.id,
        event_type=event.type,
        endpoint_id=attempt.endpoint_id,
        attempt=attempt.number,
        attempt_max=attempt.of,
        code=attempt.code,
        status=attempt.status,
        duration_s=attempt.duration_s,
        kid=attempt.kid,
        partition=event.record.partition,
        offset=event.record.offset,
        worker=worker,
    )


def encode(record: AttemptRecord) -> bytes:
    """Return the record's JSON."""
    return _encoder.encode(record)


def decode(value: bytes) -> AttemptRecord | None:
    """Return the record; None = invalid, or another version."""
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None
    return record if record.v == 1 else None
