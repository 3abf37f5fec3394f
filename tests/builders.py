"""Values for tests, with what a test does not care about filled in."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hookseal.domain.endpoint import Endpoint
from hookseal.domain.event import Event, parse_event
from hookseal.domain.record import Header, Record
from hookseal.domain.tenant import PublicKey, Tenant
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.codec import TenantCodec

MAX_BYTES = 32_768
MASTER_KEY = bytes(range(32))


def a_registry(prefix: str = "") -> TenantCodec:
    return TenantCodec(TopicNames(prefix), [MASTER_KEY])


@lru_cache
def private_key() -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


@lru_cache
def public_key(kid: str = "key-1") -> PublicKey:
    raw = private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return PublicKey(kid, "ECDH-ES", {"kty": "OKP", "crv": "X25519", "x": x})


def an_endpoint(endpoint_id: str = "ep_1", **changes: Any) -> Endpoint:
    return Endpoint(
        **{
            "id": endpoint_id,
            "url": f"https://hooks.acme.test/{endpoint_id}",
            "event_types": ("*",),
            **changes,
        }
    )


def a_tenant(customer_id: str = "acme", *endpoints: Endpoint, **changes: Any) -> Tenant:
    return Tenant(
        **{
            "customer_id": customer_id,
            "revision": 1,
            "public_keys": (public_key(),),
            "endpoints": endpoints or (an_endpoint(),),
            **changes,
        }
    )


def a_record(
    value: bytes | dict[str, Any] | None = None,
    *headers: Header,
    key: bytes | None = b"acme",
    partition: int = 0,
    offset: int = 7,
) -> Record:
    if value is None:
        value = {"type": "order.paid", "data": {"n": offset}, "id": f"evt_{offset}"}
    return Record(
        "events",
        partition,
        offset,
        key,
        value if isinstance(value, bytes) else orjson.dumps(value),
        headers,
        1_700_000_000_123,
    )


def an_event(record: Record | None = None) -> Event:
    return parse_event(record or a_record(), max_bytes=MAX_BYTES)
