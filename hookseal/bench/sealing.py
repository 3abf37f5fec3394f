"""Sealing and signing alone, for each kind of key."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import orjson

from hookseal.bench.sample import event_value, sealed
from hookseal.bench.scenario import KINDS
from hookseal.domain.json_text import data_member
from hookseal.seal.keys import generate_private_key, load_public_key, parse_public_key
from hookseal.seal.sign import SECRET_BYTES

if TYPE_CHECKING:
    from hookseal.seal.keys import EncryptionKey, KeyKind

__all__ = ["body_bytes", "make_keys", "seal_us"]


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
