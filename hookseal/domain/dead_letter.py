"""A dead letter: the record of a failed delivery, with its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hookseal.domain.event import EVENT_TIMESTAMP_HEADER, TRUNCATED_HEADER
from hookseal.domain.record import header_bytes, last_header, record_bytes
from hookseal.domain.utc_time import TIMESTAMP_MS_MAX, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.record import Header, Headers, Record, RecordFault

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
    "record_truncated": "The record is a dead letter that was cut to fit; a part is missing.",
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
        {
            "unknown_tenant",
            "misrouted",
            "data_unreadable",
            "record_truncated",
            "internal_error",
            "record_unreadable",
        }
    ),
}
"""Whose it is to mend: the tenant's receiver, the tenant's settings, the producer of the
event, or us. Only the last is worth waking someone."""

# Delivered when the endpoint or the tenant is enabled again.
SET_ASIDE = frozenset({"endpoint_disabled", "endpoint_gone", "tenant_disabled"})

_CATEGORY_OF = {reason: name for name, reasons in CATEGORIES.items() for reason in reasons}
ADDED_PREFIX = "hookseal-"
_VALUE_BYTES_HEADER = "hookseal-value-bytes"
_VALUE_SHA256_HEADER = "hookseal-value-sha256"
_ERROR_MAX_BYTES = 500
# Longer than every id and topic name (249). A producer's headers can bring longer texts.
_TEXT_MAX_BYTES = 256
# Longer than every customer id, so that a key that was cut is none.
_KEY_MAX_BYTES = 1024

LETTER_MIN_BYTES = 4096
"""Bytes into which every dead letter can be fitted."""


class FittedLetter(NamedTuple):
    """A dead letter as it is written.

    Attributes:
        value: The record's value, or the beginning of it.
        headers: The producer's, followed by hookseal's.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One failed delivery: the original record and the reason.

    Attributes:
        record: The record of the event, whose bytes and headers are kept untouched.
        reason: A stable code, one of `REASONS`.
        error: One line for a person; no secret, no internal address.
        event_id: The event's id, derived if it brought none.
        failed_at: Unix seconds.
        key: The customer id as bytes; for a broadcast that of the tenant.
        endpoint_id: The endpoint of the delivery, if one was chosen.
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
        """Return the original headers, untouched, followed by hookseal's."""
        return (*self.record.headers, *self._added())

    def fitted(self, max_bytes: int) -> FittedLetter:
        """Return the letter, truncated if its record exceeds `max_bytes`.

        The value is truncated first, then a key that is longer than every customer id. Then the
        largest producer headers are dropped, and the value gets the freed bytes back. Reason,
        event id, topic, partition and offset are always kept.

        It then has the headers `hookseal-truncated` (`value`, `headers`, `key`, joined by commas),
        `hookseal-value-bytes` (size of the original value) and `hookseal-value-sha256`
        (of the original value, hexadecimal).

        Args:
            max_bytes: At least `LETTER_MIN_BYTES`.
        """
        fault = self.record.fault
        key, value, headers = self.key, self.record.value, self.headers()
        if fault is None and record_bytes(key, value, headers) <= max_bytes:
            return FittedLetter(key, value, headers)
        added = (*self._added(), *self._measures())
        # With the longest of all marks, whichever is needed in the end.
        fixed = (*added, _mark({"value", "headers", "key"}))
        cut = set() if fault is None else {_cut_part(fault)}
        kept = self.record.headers
        over = record_bytes(key, b"", (*kept, *fixed)) - max_bytes
        if over > 0 and key and len(key) > _KEY_MAX_BYTES:
            over -= len(key) - _KEY_MAX_BYTES
            key = key[:_KEY_MAX_BYTES]
            cut.add("key")
        if over > 0 and kept:
            kept = _without_largest(kept, over)
            cut.add("headers")
        if value:
            # The length of the value takes up to four bytes more than that of an empty one.
            room = max_bytes - record_bytes(key, b"", (*kept, *fixed)) - 4
            if len(value) > room:
                value = value[: max(0, room)]
                cut.add("value")
        return FittedLetter(key, value, (*kept, *added, _mark(cut)))

    def _added(self) -> list[Header]:
        added: list[tuple[str, str | None]] = [
            ("reason", self.reason),
            ("error", " ".join(self.error.split())),
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
        return [
            (
                ADDED_PREFIX + name,
                _cut_text(text, _ERROR_MAX_BYTES if name == "error" else _TEXT_MAX_BYTES),
            )
            for name, text in added
            if text is not None
        ]

    def _measures(self) -> list[Header]:
        """Return size and hash of the value as it was produced."""
        fault = self.record.fault
        size: int | str | None
        digest: str | None
        if fault is not None:
            size, digest = fault.value_bytes, fault.value_sha256 or None
        elif last_header(self.record.headers, TRUNCATED_HEADER) is not None:
            # The record is a cut letter that was published again: its own measures say nothing.
            size, digest = (
                (last_header(self.record.headers, name) or b"").decode("utf-8", "replace") or None
                for name in (_VALUE_BYTES_HEADER, _VALUE_SHA256_HEADER)
            )
        elif self.record.value is None:
            size = digest = None
        else:
            size = len(self.record.value)
            digest = hashlib.sha256(self.record.value).hexdigest()
        measures = ((_VALUE_BYTES_HEADER, size), (_VALUE_SHA256_HEADER, digest))
        return [
            (name, _cut_text(str(text), _TEXT_MAX_BYTES))
            for name, text in measures
            if text is not None
        ]

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
    """Return hookseal's headers of a dead letter, by name without the prefix.

    The last header of a name counts: a replayed event that failed again has two.
    """
    return {
        name.removeprefix(ADDED_PREFIX): value.decode("utf-8", "replace")
        for name, value in headers
        # A producer's header may have the name of ours, and null as its value.
        if name.startswith(ADDED_PREFIX) and value is not None
    }


def category_of(reason: str) -> str:
    """Return the category of a reason: `receiver`, `configuration`, `event`, `platform`.

    One that is not known, of a newer release, counts as ours.
    """
    return _CATEGORY_OF.get(reason, "platform")


def _optional_rfc3339(moment: float | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _cut_text(text: str, max_bytes: int) -> bytes:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded
    return encoded[:max_bytes].decode("utf-8", "ignore").encode()


def _cut_part(fault: RecordFault) -> str:
    return "headers" if fault.code == "headers_too_large" else "value"


def _mark(cut: set[str]) -> Header:
    parts = ",".join(part for part in ("value", "headers", "key") if part in cut)
    return (TRUNCATED_HEADER, parts.encode())


def _without_largest(headers: Headers, over: int) -> Headers:
    """Drop the largest headers until `over` bytes are saved; keep the order."""
    sizes = [header_bytes(header) for header in headers]
    dropped = set()
    for index in sorted(range(len(headers)), key=sizes.__getitem__, reverse=True):
        if over <= 0:
            break
        dropped.add(index)
        over -= sizes[index]
    return tuple(header for index, header in enumerate(headers) if index not in dropped)
