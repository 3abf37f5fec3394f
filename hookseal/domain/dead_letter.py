"""A dead letter: the record of a failed delivery, with its reason."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hookseal.domain.event import EVENT_TIMESTAMP_HEADER, TRUNCATED_HEADER
from hookseal.domain.record import header_bytes, last_header, record_bytes
from hookseal.domain.utc_time import TIMESTAMP_MS_MAX, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.record import Header, Headers, Record

SUSPENDED = "endpoint_suspended"
EXPIRED = "expired"

# By who must act: the tenant (`receiver`, `configuration`), the producer of the `event`, or the
# operator (`platform`). Alert on the last only.
_REASONS: Mapping[str, Mapping[str, str]] = {
    "receiver": {
        "attempts_exhausted": "The endpoint accepted none of the attempts.",
        EXPIRED: "The event expired before the endpoint accepted it.",
        "endpoint_gone": "The endpoint answered 410; it is disabled.",
        SUSPENDED: "The endpoint is suspended. The event is delivered when it recovers.",
    },
    "configuration": {
        "endpoint_disabled": "The endpoint was disabled when the event was due.",
        "endpoint_removed": "The endpoint was removed while the event waited.",
        "blocked_address": "The endpoint's host resolves to an address that is not allowed.",
        "request_invalid": "No HTTP request can be built for the endpoint.",
        "no_public_key": "The tenant has no active public key to encrypt to.",
        "key_unusable": "The tenant's active public key cannot be used to encrypt.",
        "tenant_disabled": "The tenant was disabled when the event was due.",
    },
    "event": {
        "key_missing": "The record has no key.",
        "customer_id_invalid": "The record's key is not a customer id.",
        "value_missing": "The record has no value.",
        "payload_too_large": "The record's value is over the size limit.",
        "headers_too_large": "The record's headers are over the size limit.",
        "body_empty": "The record's value is empty.",
        "body_not_object": "The record's value is JSON, but not an object.",
        "json_invalid": "The record's value is not JSON.",
        "json_invalid_utf8": "The record's value is not UTF-8.",
        "json_too_deep": "The record's value is nested too deeply.",
        "data_missing": "The event has no data.",
        "data_not_json": "The event's data are not JSON.",
        "id_invalid": "The event's id cannot be signed.",
        "type_missing": "The event has no type.",
        "type_invalid": "The event's type is malformed.",
        "timestamp_invalid": "The event's time is not RFC 3339.",
        "expires_at_invalid": "The event's time of expiry is not RFC 3339.",
        "ordering_key_invalid": "The event's ordering key is empty, too long or not a text.",
        "cloudevents_version": "The event has another CloudEvents version.",
        "sealed_invalid": "The event's encrypted data are malformed.",
    },
    "platform": {
        "unknown_tenant": "No tenant has this customer id.",
        "data_unreadable": "The event's data were encrypted for another event or key.",
        "record_truncated": "The record is a truncated dead letter; a part is missing.",
        "misrouted": "Workers disagree on the number of partitions; check the topics.",
        "internal_error": "hookseal failed on this record; see the worker's log.",
        "record_unreadable": "The record cannot be decoded; the alarm names its position.",
    },
}

REASONS: Mapping[str, str] = {
    reason: text for reasons in _REASONS.values() for reason, text in reasons.items()
}
CATEGORIES: Mapping[str, frozenset[str]] = {
    category: frozenset(reasons) for category, reasons in _REASONS.items()
}

# Delivered when the endpoint or the tenant is enabled again.
SET_ASIDE = frozenset({"endpoint_disabled", "endpoint_gone", "tenant_disabled"})

_CATEGORY_OF = {reason: name for name, reasons in CATEGORIES.items() for reason in reasons}
ADDED_PREFIX = "hookseal-"
_VALUE_BYTES_HEADER = "hookseal-value-bytes"
_VALUE_SHA256_HEADER = "hookseal-value-sha256"
_ERROR_MAX_BYTES = 500
# Longer than every id and topic name (249). A producer's headers can bring longer texts.
_TEXT_MAX_BYTES = 256
# Longer than every customer id, so that a truncated key is not a valid one.
_KEY_MAX_BYTES = 1024

LETTER_MIN_BYTES = 4096
"""Bytes into which every dead letter fits."""


class FittedLetter(NamedTuple):
    """A dead letter as it is written: its value may be truncated, its headers end with ours."""

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
        failed_at: Unix seconds, as `first_attempt_at`.
        key: The customer id as bytes, of the tenant for a broadcast.
        status: The last HTTP status, if any.
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
    first_attempt_at: float | None = None

    def headers(self) -> Headers:
        """Return the original headers, untouched, followed by hookseal's."""
        return (*self.record.headers, *self._added())

    def fitted(self, max_bytes: int) -> FittedLetter:
        """Return the dead letter, truncated if its record exceeds `max_bytes`.

        The value is truncated first, then a key that is longer than every customer id. Then the
        largest producer headers are dropped, and the value gets the freed bytes back. Reason,
        event id, topic, partition and offset are always kept.

        It then has the headers `hookseal-truncated` (`value`, `headers`, `key`, joined by commas),
        `hookseal-value-bytes` and `hookseal-value-sha256` (size and hash of the original value).
        `max_bytes` is at least `LETTER_MIN_BYTES`.
        """
        fault = self.record.fault
        key, value, headers = self.key, self.record.value, self.headers()
        if fault is None and record_bytes(key, value, headers) <= max_bytes:
            return FittedLetter(key, value, headers)
        added = (*self._added(), *self._measures())
        # With the longest possible mark, whichever is needed in the end.
        fixed = (*added, _mark({"value", "headers", "key"}))
        cut = set()
        if fault is not None:
            cut.add("headers" if fault.code == "headers_too_large" else "value")
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
        first_attempt_at = self.first_attempt_at
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
            ("first-attempt-at", None if first_attempt_at is None else rfc3339(first_attempt_at)),
            ("failed-at", rfc3339(self.failed_at)),
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
            # A truncated letter that was published again: its own size says nothing.
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
        # A letter has a timestamp of its own. An event without a timestamp has that of its record,
        # which is kept here so that a replay does not change it.
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
    """Return the category of a reason; `platform` for an unknown one, of a newer release."""
    return _CATEGORY_OF.get(reason, "platform")


def _cut_text(text: str, max_bytes: int) -> bytes:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= max_bytes:
        return encoded
    return encoded[:max_bytes].decode("utf-8", "ignore").encode()


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
