"""One attempt on the topic `deliveries`: JSON with a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from hookseal.domain.attempt import Attempt
    from hookseal.domain.event import Event

# JSON bounds no number, and the index cannot store a larger one, or show it as RFC 3339.
_Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_YEAR_10000 = 253_402_300_800
_Seconds = Annotated[float, Meta(ge=0, lt=_YEAR_10000)]


class AttemptRecord(msgspec.Struct, frozen=True, omit_defaults=False):
    """One attempt and its result. Never a payload, a URL or a secret.

    Attributes:
        at: Unix seconds at which it ended.
        attempt: Counted from 1.
        code: `accepted`, `http_503`, `timeout`, …
        status: HTTP status, or None when no answer came.
        duration_s: Seconds from connect to last byte.
        kid: The public key it was sealed to.
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


def record_of(
    event: Event, customer_id: str, attempt: Attempt, *, at: float, worker: str
) -> AttemptRecord:
    """Return the record of an attempt.

    Args:
        at: Unix seconds.
    """
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


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AttemptRecord)


def encode(record: AttemptRecord) -> bytes:
    """Return the record's JSON."""
    return _encoder.encode(record)


def decode(value: bytes) -> AttemptRecord | None:
    """Return the record; None if it is none, or of another version."""
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None
    return record if record.v == 1 else None
