"""The event that is measured with, and what sealing it takes; without Kafka."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import orjson

from benchmarks.scenario import EVENT_BYTES, KINDS
from hookseal.domain.json_text import data_member
from hookseal.seal.keys import generate_private_key, load_public_key, parse_public_key
from hookseal.seal.request import envelope, seal_request
from hookseal.seal.sign import SECRET_BYTES

if TYPE_CHECKING:
    from hookseal.seal.encrypt import EncryptionKey
    from hookseal.seal.keys import KeyKind


def make_keys() -> dict[KeyKind, EncryptionKey]:
    """Make a key of each kind, ready to seal to."""
    keys = {}
    for kind in KINDS:
        public = parse_public_key(generate_private_key(kind)[1])
        keys[kind] = load_public_key(orjson.dumps(public.jwk))
    return keys


def seal_us(key: EncryptionKey, times: int) -> float:
    """Return the microseconds that envelope, encryption and signature take for one event."""
    data = data_member(event_value(1)) or b""
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed(key, data, secret)
    began = time.perf_counter()
    for _ in range(times):
        sealed(key, data, secret)
    return (time.perf_counter() - began) / times * 1e6


def body_bytes(key: EncryptionKey) -> int:
    """Return the size of the body on the wire."""
    return len(sealed(key, data_member(event_value(1)) or b"", bytes(SECRET_BYTES))[1])


TIMESTAMP = 1_764_000_000


def event_value(number: int, size_bytes: int = EVENT_BYTES) -> bytes:
    """Return an event of exactly this size: an order with a few lines, then filler."""
    lines = [
        {"sku": f"sku-{number % 997}-{line}", "quantity": line + 1, "price": "19.90"}
        for line in range(6)
    ]
    data = {"order": number, "currency": "EUR", "lines": lines, "note": ""}
    event = {"type": "order.paid", "id": f"evt_{number:012d}", "data": data}
    data["note"] = "x" * (size_bytes - len(orjson.dumps(event)))
    return orjson.dumps(event)


def sealed(key: EncryptionKey, data: bytes, secret: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and body of one request."""
    plaintext = envelope(
        event_id="evt_000000000001",
        event_type="order.paid",
        timestamp="2026-11-24T10:00:00Z",
        customer_id="customer-1",
        endpoint_id="ep_1",
        data=data,
    )
    return seal_request(
        plaintext=plaintext,
        event_id="evt_000000000001",
        timestamp=TIMESTAMP,
        key=key,
        secrets=[secret],
    )
