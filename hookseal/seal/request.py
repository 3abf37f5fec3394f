"""Headers and body of one attempt."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from hookseal import __version__
from hookseal.seal.encrypt import OS, encrypt
from hookseal.seal.sign import signature_header

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hookseal.seal.encrypt import EncryptionKey, Randomness

# RFC 7515 section 9.2.1: registered for both JWS and JWE.
_CONTENT_TYPE = "application/jose+json"
_USER_AGENT = f"hookseal/{__version__}"
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})

# W3C Trace Context level 1, section 3.2. It came with the event, and a malformed header would cost
# the delivery.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def envelope(
    *,
    event_id: str,
    event_type: str,
    timestamp: str,
    customer_id: str,
    endpoint_id: str,
    data: bytes,
) -> bytes:
    """Return the plaintext of a request: the JSON that a receiver decrypts.

    It repeats ids and event type, so that a receiver can check that the request is meant for it and
    is what its headers say.

    The time is that of the event in RFC 3339. `data` is valid JSON, inserted byte for byte: writing
    it again would change big numbers and repeated members.
    """
    return orjson.dumps(
        {
            "id": event_id,
            "type": event_type,
            "timestamp": timestamp,
            "customer_id": customer_id,
            "endpoint_id": endpoint_id,
            "data": orjson.Fragment(data),
        }
    )


def seal_request(
    *,
    plaintext: bytes,
    event_id: str,
    timestamp: int,
    key: EncryptionKey,
    secrets: Sequence[bytes],
    headers: Mapping[str, str] = _NO_HEADERS,
    traceparent: str | None = None,
    randomness: Randomness = OS,
) -> tuple[dict[str, str], bytes]:
    """Encrypt an envelope and sign the ciphertext; return the headers and the body.

    The timestamp is in Unix seconds of this attempt. Signing secrets are newest first. Our headers
    replace custom headers of the same name, whatever their case. A malformed trace context is left
    out. Raises SealError: `request_invalid`, without a secret.
    """
    body = encrypt(plaintext, key, randomness=randomness)
    ours = {
        "content-type": _CONTENT_TYPE,
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(secrets, event_id, timestamp, body),
        "user-agent": _USER_AGENT,
    }
    if traceparent is not None and is_traceparent(traceparent):
        ours["traceparent"] = traceparent
    custom = {name: value for name, value in headers.items() if name.lower() not in ours}
    return custom | ours, body


def is_traceparent(text: str) -> bool:
    """Return whether a trace context is well formed."""
    return _TRACEPARENT.fullmatch(text) is not None
