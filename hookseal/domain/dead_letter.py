"""A delivery given up, with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hookseal.domain.event import EVENT_TIMESTAMP_HEADER
from hookseal.domain.moment import TIMESTAMP_MS_MAX, rfc3339
from hookseal.domain.record import last_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.record import Header, Headers, Record

__all__ = [
    "CATEGORIES",
    "REASONS",
    "SET_ASIDE",
    "SUSPENDED",
    "DeadLetter",
    "added_headers",
    "category_of",
]

SUSPENDED = "endpoint_suspended"

REASONS: Mapping[str, str] = {
    "attempts_exhausted": "The endpoint accepted none of the attempts.",
    "endpoint_gone": "The endpoint answered 410; it is disabled.",
    "endpoint_disabled": "The endpoint was disabled when the event was due.",
    "endpoint_removed": "The endpoint was removed while the event waited.",
    SUSPENDED: "The endpoint is suspended; the event follows when it comes back.",
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
    "headers_too_large": "The record's headers are over the size limit.",
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
    "sealed_invalid": "The event's sealed data are malformed.",
    "data_unreadable": "The event's data are sealed for another place, or under another key.",
    "misrouted": "Workers disagree on the number of partitions; check the topics.",
    "internal_error": "hookseal failed on this record; see the worker's log.",
    "record_unreadable": "The record cannot be decoded; the alarm names its partition and offsets.",
}

CATEGORIES: Mapping[str, frozenset[str]] = {
    "receiver": frozenset({"attempts_exhausted", "endpoint_gone", SUSPENDED}),
    "configuration": frozenset(
        {
            "endpoint_disabled",
            "endpoint_removed",
            "blocked_address",
            "request_invalid",
            "no_public_key",
            "key_unusable",
            "tenant_disabled",
        }
    ),
    "event": frozenset(
        {
            "key_missing",
            "customer_id_invalid",
            "value_missing",
            "payload_too_large",
            "headers_too_large",
            "body_empty",
            "body_not_object",
            "json_invalid",
            "json_invalid_utf8",
            "json_too_deep",
            "data_missing",
            "data_not_json",
            "id_invalid",
            "type_missing",
            "type_invalid",
            "timestamp_invalid",
            "cloudevents_version",
            "sealed_invalid",
        }
    ),
    "platform": frozenset(
        {"unknown_tenant", "misrouted", "data_unreadable", "internal_error", "record_unreadable"}
    ),
}
"""Whose it is to mend: the tenant's receiver, the tenant's settings, the producer of the
event, or us. Only the last is worth waking someone."""

# What is delivered once somebody enables the endpoint or the tenant again.
SET_ASIDE = frozenset({"endpoint_disabled", "endpoint_gone", "tenant_disabled"})

_CATEGORY_OF = {reason: name for name, reasons in CATEGORIES.items() for reason in reasons}
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
            ("first-attempt-at", _optional_rfc3339(self.first_attempt_at)),
            ("failed-at", _optional_rfc3339(self.failed_at)),
            ("event-timestamp", self._event_timestamp()),
        ]
        encoded: list[Header] = [
            (_PREFIX + name, text.encode()) for name, text in added if text is not None
        ]
        return (*self.record.headers, *encoded)

    def _event_timestamp(self) -> str | None:
        # A letter has a time of its own on the log. An event that brings no timestamp has
        # that of its record: noted here, so that a replay does not change it.
        kept = last_header(self.record.headers, EVENT_TIMESTAMP_HEADER)
        if kept is not None:
            return kept.decode("utf-8", "replace")
        if 0 <= self.record.timestamp_ms <= TIMESTAMP_MS_MAX:
            return rfc3339(self.record.timestamp_ms / 1000)
        return None


def added_headers(headers: Headers) -> dict[str, str]:
    """Return what hookseal added to a dead letter, by name without the prefix.

    Where a name stands twice the later one counts: the letter of an event that was
    replayed and failed again.
    """
    return {
        name.removeprefix(_PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        if value is not None and name.startswith(_PREFIX)
    }


def category_of(reason: str) -> str:
    """Return the category of a reason: `receiver`, `configuration`, `event`, `platform`.

    One that is not known, of a newer release, counts as ours.
    """
    return _CATEGORY_OF.get(reason, "platform")


def _optional_rfc3339(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)
