"""Tenants as they are in production, by the hundred thousand, straight into the changelog."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from hookseal.domain.api_key import SCOPES, ApiKey
from hookseal.domain.endpoint import Endpoint
from hookseal.domain.tenant import CommandResult, PublicKey, Tenant
from hookseal.kafka.producer import Producer
from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.deployment import Deployment


_IN_FLIGHT = 1000
_ENDPOINTS = 2
_RECENT = 4
# Of four tenants two have RSA-2048, one RSA-4096, one X25519.
_MODULUS_BYTES = (256, 512, 256, 0)


def a_tenant(number: int) -> Tenant:
    """Return a tenant whose document has the size of a real one; its key is none."""
    customer_id = f"customer-{number:07d}"
    return Tenant(
        customer_id,
        revision=_RECENT,
        name=f"Customer {number} Trading Ltd",
        public_keys=(_public_key(_MODULUS_BYTES[number % len(_MODULUS_BYTES)]),),
        endpoints=tuple(
            Endpoint(
                f"ep_{secrets.token_hex(8)}",
                f"https://hooks.{customer_id}.example.com/webhooks/orders-{one}",
                ("order.*", "invoice.paid"),
                description="What the shop needs",
            )
            for one in range(_ENDPOINTS)
        ),
        api_keys=tuple(
            ApiKey(f"{number:07d}{one:05d}", _random(32), 1, SCOPES, 1_700_000_000.0)
            for one in range(1 + number % 2)
        ),
        recent=tuple(
            CommandResult(f"cmd_{secrets.token_hex(16)}", "ok", secrets.token_hex(16))
            for _ in range(_RECENT)
        ),
    )


async def write_tenants(
    deployment: Deployment, tenants: int, on_progress: Callable[[int], None]
) -> int:
    """Write so many tenants; return the bytes of their documents."""
    written = 0
    async with Producer(deployment.cluster) as producer:
        for first in range(0, tenants, _IN_FLIGHT):
            batch = [a_tenant(n) for n in range(first, min(tenants, first + _IN_FLIGHT))]
            documents = [
                (tenant.customer_id.encode(), deployment.registry.document(tenant))
                for tenant in batch
            ]
            await asyncio.gather(
                *(
                    producer.publish(deployment.names.tenants_changelog, key=key, value=value)
                    for key, value in documents
                )
            )
            written += sum(len(value) for _, value in documents)
            on_progress(first + len(batch))
    return written


def _public_key(modulus_bytes: int) -> PublicKey:
    if modulus_bytes:
        jwk = {"kty": "RSA", "n": _random(modulus_bytes), "e": "AQAB"}
        return PublicKey(_random(32), "RSA-OAEP-256", jwk)
    return PublicKey(_random(32), "ECDH-ES", {"kty": "OKP", "crv": "X25519", "x": _random(32)})


def _random(octets: int) -> str:
    return base64url.encode(secrets.token_bytes(octets)).decode()
