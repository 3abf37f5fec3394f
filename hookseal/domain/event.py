"""Parses a record into an event, in the three forms that `events` accepts.

1. CloudEvents 1.0, Kafka protocol binding, binary content mode (section 3.2).
2. CloudEvents 1.0, Kafka protocol binding, structured content mode (section 3.3), JSON
   event format.
3. Plain: `{"type": …, "data": …, "id"?: …, "timestamp"?: …}`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hookseal.domain.json_text import data_member, validate
from hookseal.domain.record import HEADERS_MAX_BYTES, Record, headers_bytes, last_header
from hookseal.domain.tenant import PublicKey
from hookseal.domain.utc_time import TIMESTAMP_MS_MAX, format_utc_seconds
from hookseal.errors import InvalidEventError

if TYPE_CHECKING:
    from collections.abc import Mapping

BROADCAST_HEADER = "hookseal-broadcast"
EVENT_ID_HEADER = "hookseal-event-id"
ENDPOINT_ID_HEADER = "hookseal-endpoint-id"
EVENT_TIMESTAMP_HEADER = "hookseal-event-timestamp"
ORDERING_KEY_HEADER = "hookseal-ordering-key"
REPLAY_HEADER = "hookseal-replay-of"
REROUTED_HEADER = "hookseal-rerouted"
SEALED_HEADER = "hookseal-sealed"
SEAL_TO_HEADER = "hookseal-seal-to"
TRUNCATED_HEADER = "hookseal-truncated"

CUSTOMER_ID_MAX = 128
_ID_MAX = 128
# Nonce, tag, version and the names around them, in base64.
_SEALED_ROOM = 128
_TYPE_MAX = 255
ORDERING_KEY_MAX_BYTES = 256

_EVENT_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]+")
_EVENT_TYPE = re.compile(r"[\x21-\x29\x2b-\x7e]+")
# RFC 3339 section 5.6.
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_STRUCTURED = "application/cloudevents"
_RESERVED_PREFIX = "hookseal."


class _Identified(msgspec.Struct):
    id: str | None = None


_id_decoder = msgspec.json.Decoder(_Identified)
_public_key_decoder = msgspec.json.Decoder(PublicKey)


class _Names(NamedTuple):
    timestamp: str
    ordering_key: str
    expiry: str


_PLAIN_NAMES = _Names("timestamp", "ordering_key", "expires_at")
_CLOUDEVENTS_NAMES = _Names("time", "partitionkey", "expirytime")


class SealedData(NamedTuple):
    """Event data that the publisher encrypted at rest, see `hookseal.seal.vault`.

    They are bound to the event id, which is empty if the record has none.
    """

    text: str
    event_id: str


class Event(msgspec.Struct, frozen=True, gc=False):
    """A fact published for one tenant, or for all that subscribe.

    Attributes:
        id: Stable over redelivery and replay; ASCII without a dot, up to 128 characters.
        type: Dotted name, `order.paid`.
        timestamp: RFC 3339.
        customer_id: Its tenant; empty for a broadcast.
        data: The bytes of a JSON value, as the producer wrote them; empty if `sealed` is set.
        only_endpoint: The only endpoint to deliver to, on a replay and on a test.
        seal_to: The key to encrypt to instead of the active one.
        sealed: The data, if they are encrypted at rest.
        expires_at: Unix seconds from which on no attempt is made; None = never.
        ordering_key: Events with the same one must not overtake each other in the ordering mode
            `key`; None = the customer id.
    """

    id: str
    type: str
    timestamp: str
    customer_id: str
    data: bytes
    record: Record
    only_endpoint: str | None = None
    seal_to: PublicKey | None = None
    sealed: SealedData | None = None
    expires_at: float | None = None
    ordering_key: str | None = None

    def __repr__(self) -> str:
        """Return the event's id only: the data never appear in logs."""
        return (
            f"Event(id={self.id!r}, type={self.type!r}, timestamp={self.timestamp!r}, "
            f"customer_id={self.customer_id!r}, only_endpoint={self.only_endpoint!r})"
        )


def is_reserved(event_type: str) -> bool:
    """Return whether only hookseal publishes events of this type.

    They are about the tenant itself (its keys, a test), so all its enabled endpoints get them,
    whatever their subscription.
    """
    return event_type.startswith(_RESERVED_PREFIX)


def parse_event(record: Record, *, max_bytes: int) -> Event:
    """Parse a record.

    Raises InvalidEventError: `record_truncated`, `record_unreadable`, or a reason of the category
    `event`, see `hookseal.domain.dead_letter`.
    """
    if record.fault is not None:
        raise InvalidEventError(record.fault.code, record.fault.error)
    if record.headers:
        _check_headers(record)
    customer_id = "" if is_broadcast(record) else customer_id_of(record)
    value = record.value
    if not value and _is_binary(record):
        # An event without data has no value (CloudEvents, Kafka protocol binding, section 3.2).
        value = b"null"
    if value is None:
        raise InvalidEventError("value_missing", "The record has no value; an event needs one.")
    is_sealed = last_header(record.headers, SEALED_HEADER) is not None
    if len(value) > (_sealed_size(max_bytes) if is_sealed else max_bytes):
        raise InvalidEventError(
            "payload_too_large", f"The value has {len(value)} bytes; at most {max_bytes}."
        )
    if is_sealed:
        return _sealed(record, value, customer_id)
    if record.headers:
        content_type = (last_header(record.headers, "content-type") or b"").decode("latin-1")
        if content_type.lower().startswith(_STRUCTURED):
            return _structured(record, value, customer_id)
        if last_header(record.headers, "ce_specversion") is not None:
            return _binary(record, value, customer_id, content_type)
    return _plain(record, value, customer_id)


def _is_binary(record: Record) -> bool:
    """Return whether the record is a CloudEvent in binary content mode."""
    if last_header(record.headers, SEALED_HEADER) is not None:
        return False
    content_type = (last_header(record.headers, "content-type") or b"").decode("latin-1")
    return (
        not content_type.lower().startswith(_STRUCTURED)
        and last_header(record.headers, "ce_specversion") is not None
    )


def _check_headers(record: Record) -> None:
    if last_header(record.headers, TRUNCATED_HEADER) is not None:
        # A part of a value may be valid JSON, such as a number with fewer digits.
        raise InvalidEventError(
            "record_truncated", "This is a truncated dead letter. Publish the original event again."
        )
    size = headers_bytes(record.headers)
    if size > HEADERS_MAX_BYTES:
        raise InvalidEventError(
            "headers_too_large",
            f"The record's headers have {size:,} bytes; at most {HEADERS_MAX_BYTES:,} are allowed.",
            field="headers",
        )


def is_broadcast(record: Record) -> bool:
    """Return whether the record is one partition's copy of a broadcast."""
    return last_header(record.headers, BROADCAST_HEADER) is not None


def customer_id_of(record: Record) -> str:
    """Return the record's key, or raise InvalidEventError: `key_missing`, `customer_id_invalid`."""
    if not record.key:
        raise InvalidEventError(
            "key_missing", "The record has no key; use the customer id as the key.", field="key"
        )
    try:
        return check_customer_id(record.key.decode())
    except UnicodeDecodeError:
        raise InvalidEventError(
            "customer_id_invalid", "The record's key is not UTF-8.", field="key"
        ) from None


def check_customer_id(text: str) -> str:
    """Return a valid customer id, or raise InvalidEventError: `customer_id_invalid`."""
    if not text or len(text) > CUSTOMER_ID_MAX or not text.isprintable() or text != text.strip():
        raise InvalidEventError(
            "customer_id_invalid",
            f"A customer id has 1 to {CUSTOMER_ID_MAX} printable characters "
            "and no space at either end.",
            field="customer_id",
        )
    return text


def check_event_id(text: object) -> str:
    """Return a valid event id, or raise InvalidEventError: `id_invalid`.

    A dot is refused because dots delimit the signed string (Standard Webhooks, "Signature scheme").
    """
    if isinstance(text, str) and len(text) <= _ID_MAX and _EVENT_ID.fullmatch(text):
        return text
    raise InvalidEventError(
        "id_invalid",
        f"An event id has 1 to {_ID_MAX} visible ASCII characters, no dot.",
        field="id",
    )


def check_event_type(text: object) -> str:
    """Return a valid event type, or raise InvalidEventError: `type_missing`, `type_invalid`."""
    if text is None:
        raise InvalidEventError("type_missing", "The event has no type.", field="type")
    if isinstance(text, str) and len(text) <= _TYPE_MAX and _EVENT_TYPE.fullmatch(text):
        return text
    raise InvalidEventError(
        "type_invalid",
        f"An event type has 1 to {_TYPE_MAX} visible ASCII characters, no asterisk.",
        field="type",
    )


def check_timestamp(text: object) -> str:
    """Return a time in RFC 3339 (section 5.6), or raise InvalidEventError: `timestamp_invalid`."""
    if isinstance(text, str) and _RFC3339.fullmatch(text):
        try:
            datetime.fromisoformat(text.upper())
        except ValueError:
            pass
        else:
            return text
    raise InvalidEventError(
        "timestamp_invalid", "Write the time as RFC 3339, 2026-11-24T10:00:00Z.", field="timestamp"
    )


def check_expiry(text: object) -> str:
    """Return a time in RFC 3339, or raise InvalidEventError: `expires_at_invalid`."""
    try:
        return check_timestamp(text)
    except InvalidEventError:
        raise InvalidEventError(
            "expires_at_invalid",
            "Write the time of expiry as RFC 3339, 2026-11-24T10:00:00Z.",
            field="expires_at",
        ) from None


def check_ordering_key(text: object) -> str:
    """Return a valid ordering key, or raise InvalidEventError: `ordering_key_invalid`."""
    if (
        isinstance(text, str)
        and text
        and len(text.encode("utf-8", "replace")) <= ORDERING_KEY_MAX_BYTES
    ):
        return text
    raise InvalidEventError(
        "ordering_key_invalid",
        f"An ordering key is a text of 1 to {ORDERING_KEY_MAX_BYTES} bytes in UTF-8.",
        field="ordering_key",
    )


def derived_id(record: Record) -> str:
    """Return the id of an event without one, the same for every redelivery of the record.

    It depends on the record's timestamp: a recreated topic must not repeat the ids of the old one,
    which receivers would drop as duplicates.
    """
    position = f"{record.topic}\n{record.partition}\n{record.offset}\n{record.timestamp_ms}"
    digest = hashlib.sha256(position.encode()).digest()[:20]
    return "evt_" + base64.b32encode(digest).decode().lower()


def event_id_if_any(record: Record) -> str:
    """Return the event id of a record that may not be a valid event.

    For a valid event it is the id that `parse_event` returns.
    """
    header = last_header(record.headers, EVENT_ID_HEADER)
    own = last_header(record.headers, "ce_id") if _is_binary(record) else _id_member(record.value)
    for candidate in (header, own):
        if candidate is not None:
            try:
                return check_event_id(candidate.decode())
            except (UnicodeDecodeError, InvalidEventError):
                continue
    return derived_id(record)


def _id_member(value: bytes | None) -> bytes | None:
    try:
        found = _id_decoder.decode(value or b"").id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if found is None else found.encode("utf-8", "replace")


def _binary(record: Record, value: bytes, customer_id: str, content_type: str) -> Event:
    attributes = {
        name[3:]: content.decode("utf-8", "replace")
        for name, content in record.headers
        if content is not None and name.startswith("ce_")
    }
    _check_version(attributes.get("specversion"))
    _check_json_type(content_type)
    validate(value)
    return _event(record, customer_id, attributes, value, _CLOUDEVENTS_NAMES)


def _structured(record: Record, value: bytes, customer_id: str) -> Event:
    document = _object(value)
    _check_version(document.get("specversion"))
    _check_json_type(document.get("datacontenttype") or "")
    if "data_base64" in document:
        raise InvalidEventError(
            "data_not_json", "Send JSON in `data`; binary data cannot be delivered.", field="data"
        )
    data = data_member(value) or b"null"
    return _event(record, customer_id, document, data, _CLOUDEVENTS_NAMES)


def _plain(record: Record, value: bytes, customer_id: str) -> Event:
    document = _object(value)
    data = data_member(value)
    if data is None:
        raise InvalidEventError("data_missing", "The event has no `data`.", field="data")
    return _event(record, customer_id, document, data, _PLAIN_NAMES)


def _sealed(record: Record, value: bytes, customer_id: str) -> Event:
    document = _object(value)
    text, event_id = document.get("sealed"), document.get("id")
    if not isinstance(text, str) or not isinstance(event_id, str | None):
        raise InvalidEventError("sealed_invalid", "The encrypted data are invalid.", field="sealed")
    event = _event(record, customer_id, document, b"", _PLAIN_NAMES)
    return msgspec.structs.replace(event, sealed=SealedData(text, event_id or ""))


def _sealed_size(max_bytes: int) -> int:
    """Return the largest size of a value with encrypted data, in bytes."""
    return max_bytes * 4 // 3 + _SEALED_ROOM


def _event(
    record: Record, customer_id: str, members: Mapping[str, Any], data: bytes, names: _Names
) -> Event:
    timestamp, ordering_key = members.get(names.timestamp), members.get(names.ordering_key)
    expiry = members.get(names.expiry)
    event_id = members.get("id")
    # A rerouted or replayed record carries the id of its first position.
    kept = last_header(record.headers, EVENT_ID_HEADER)
    if kept is not None:
        event_id = kept.decode("utf-8", "replace")
    checked_type = check_event_type(members.get("type"))
    header = last_header(record.headers, ORDERING_KEY_HEADER)
    if header is not None:
        ordering_key = header.decode("utf-8", "replace")
    reserved = is_reserved(checked_type)
    aimed_at: str | None = None
    is_copy = reserved or last_header(record.headers, REPLAY_HEADER) is not None
    if is_copy:
        aimed_at = _text_of(record, ENDPOINT_ID_HEADER)
    if timestamp is None and (is_copy or last_header(record.headers, REROUTED_HEADER) is not None):
        timestamp = _text_of(record, EVENT_TIMESTAMP_HEADER)
    return Event(
        id=derived_id(record) if event_id is None else check_event_id(event_id),
        type=checked_type,
        timestamp=_record_time(record) if timestamp is None else check_timestamp(timestamp),
        customer_id=customer_id,
        data=data,
        record=record,
        only_endpoint=aimed_at,
        seal_to=_seal_to(record) if reserved else None,
        expires_at=None if expiry is None else _unix_seconds(check_expiry(expiry)),
        ordering_key=None if ordering_key is None else check_ordering_key(ordering_key),
    )


def _seal_to(record: Record) -> PublicKey | None:
    header = last_header(record.headers, SEAL_TO_HEADER)
    if header is None:
        return None
    try:
        return _public_key_decoder.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # Not written by hookseal: encrypt to the active key as usual.
        return None


def _unix_seconds(text: str) -> float:
    return datetime.fromisoformat(text.upper()).timestamp()


def _text_of(record: Record, name: str) -> str | None:
    return (last_header(record.headers, name) or b"").decode("utf-8", "replace") or None


def _object(value: bytes) -> dict[str, Any]:
    document = validate(value)
    if not isinstance(document, dict):
        raise InvalidEventError("body_not_object", "The value is JSON, but not an object.")
    return document


def _check_version(version: object) -> None:
    if version != "1.0":
        raise InvalidEventError(
            "cloudevents_version", "Only CloudEvents 1.0 is supported.", field="specversion"
        )


def _check_json_type(content_type: object) -> None:
    if not isinstance(content_type, str):
        content_type = "not a string"
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type and not media_type.endswith(("/json", "+json")):
        raise InvalidEventError(
            "data_not_json", "Send data as JSON; other content cannot be delivered.", field="data"
        )


def _record_time(record: Record) -> str:
    if not 0 <= record.timestamp_ms <= TIMESTAMP_MS_MAX:
        raise InvalidEventError(
            "timestamp_invalid",
            f"The event has no time, and its record's timestamp {record.timestamp_ms} is not in "
            "milliseconds since 1970. Set the event's time, or the timestamp in milliseconds.",
            field="timestamp",
        )
    seconds, milliseconds = divmod(record.timestamp_ms, 1000)
    return f"{format_utc_seconds(seconds)}.{milliseconds:03}Z"
