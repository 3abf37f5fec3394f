"""A delivery given up, with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.record import Header, Headers, Record

__all__ = ["REASONS", "DeadLetter", "added_headers"]

REASONS: Mapping[str, str] = {
    "attempts_exhausted": "The endpoint accepted none of the attempts.",
    "endpoint_gone": "The endpoint answered 410; it is disabled.",
    "endpoint_disabled": "The endpoint was disabled when the event was due.",
    "endpoint_removed": "The endpoint was removed while the event waited.",
    "blocked_address": "The endpoint's host leads to an address that deliveries may not reach.",
    "request_invalid": "No HTTP request can be built for the endpoint.",
    "no_public_key": "The tenant has no active public key to seal to.",
    "key_unusable": "The tenant's active public key cannot be used to seal.",
    "unknown_tenant": "No tenant has this customer id.",
    "tenant_disabled": "The tenant was disabled when the event was due.",
    "key_missing": "The record has no key.",
    "customer_id_invalid": "The record's key is no customer id.",
    "value_missing": "The record has no value.",
    "payload_too_large": "The record's value is over the size limit.",
    "body_empty": "The record's value is empty.",
    "body_not_object": "The record's value is JSON, but not an object.",
    "json_invalid": "The record's value is no JSON.",
    "json_invalid_utf8": "The record's value is not UTF-8.",
    "json_too_deep": "The record's value is nested too deeply.",
    "data_missing": "The event has no data.",
    "data_not_json": "The event's data are not JSON.",
    "id_invalid": "The event's id cannot be signed.",
    "type_missing": "The event has no type.",
    "type_invalid": "The event's type is malformed.",
    "timestamp_invalid": "The event's time is not RFC 3339.",
    "cloudevents_version": "The event is of another CloudEvents version.",
    "misrouted": "Workers disagree on the number of partitions; check the topics.",
    "internal_error": "hookseal failed on this record; see the worker's log.",
}

_PREFIX = "hookseal-"
_ERROR_MAX = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One delivery given up: the record as it was, and why.

    Attributes:
        record: The record of the event, whose bytes and headers are kept untouched.
        reason: A stable code, one of `REASONS`.
        error: One line for a person; no secret, no internal address.
        event_id: The event's id, derived if it brought none.
        failed_at: Unix seconds.
        key: The customer id as bytes; for a broadcast that of the tenant.
        endpoint_id: The endpoint that gave up, if it came to that.
        attempts: Attempts made.
        status: The last HTTP status, if there was any.
        first_attempt_at: Unix seconds of the first attempt, if there was any.
    """

    record: Record
    reason: str
    error: str
    event_id: str
    failed_at: float
    key: bytes | None = None
    endpoint_id: str | None = None
    attempts: int = 0
    status: int | None = None
    first_attempt_at: float | None = field(default=None)

    def headers(self) -> Headers:
        """Return the original headers, untouched, and behind them what is added."""
        added: list[tuple[str, str | None]] = [
            ("reason", self.reason),
            ("error", " ".join(self.error.split())[:_ERROR_MAX]),
            ("endpoint-id", self.endpoint_id),
            ("attempts", str(self.attempts)),
            ("status", None if self.status is None else str(self.status)),
            ("event-id", self.event_id),
            ("topic", self.record.topic),
            ("partition", str(self.record.partition)),
            ("offset", str(self.record.offset)),
            ("first-attempt-at", _rfc3339(self.first_attempt_at)),
            ("failed-at", _rfc3339(self.failed_at)),
        ]
        encoded: list[Header] = [
            (_PREFIX + name, text.encode()) for name, text in added if text is not None
        ]
        return (*self.record.headers, *encoded)


def added_headers(headers: Headers) -> dict[str, str]:
    """Return what hookseal added to a dead letter, by name without the prefix.

    Where a name stands twice the later one counts: the letter of an event that was
    replayed and failed again.
    """
    return {
        name.removeprefix(_PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if name.startswith(_PREFIX)
    }


def _rfc3339(moment: float | None) -> str | None:
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
