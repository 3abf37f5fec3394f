"""Sealing and signing alone, for each kind of key."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import orjson

from hookseal.bench.load import event_value
from hookseal.bench.scenario import KINDS
from hookseal.domain.json_text import data_member
from hookseal.seal.envelope import envelope
from hookseal.seal.keys import generate_private_key, load_public_key, parse_public_key
from hookseal.seal.request import seal_request
from hookseal.seal.sign import SECRET_BYTES

if TYPE_CHECKING:
    from hookseal.seal.keys import EncryptionKey, KeyKind

__all__ = ["body_bytes", "make_keys", "seal_us"]

_TIMESTAMP = 1_764_000_000


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
    _seal(key, data, secret)
    began = time.perf_counter()
    for _ in range(times):
        _seal(key, data, secret)
    return (time.perf_counter() - began) / times * 1e6


def body_bytes(key: EncryptionKey) -> int:
    """Return the size of the body on the wire."""
    return len(_seal(key, data_member(event_value(1)) or b"", bytes(SECRET_BYTES))[1])


def _seal(key: EncryptionKey, data: bytes, secret: bytes) -> tuple[dict[str, str], bytes]:
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
        timestamp=_TIMESTAMP,
        key=key,
        secrets=[secret],
    )
