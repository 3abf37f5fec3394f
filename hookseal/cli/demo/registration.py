"""Making the demo's tenants, over the API, as they would themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.cli.api_client import tenant_path
from hookseal.seal.keys import generate_private_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.cli.api_client import ApiClient
    from hookseal.cli.demo.receivers import TenantSide

__all__ = ["make_keys", "register"]

_EVENT_TYPES = ("order.*",)


async def make_keys(tenants: Sequence[TenantSide]) -> list[tuple[bytes, bytes]]:
    """Return a key pair for each tenant, PEM, the private key first."""
    keys: list[tuple[bytes, bytes]] = await asyncio.gather(
        *(asyncio.to_thread(generate_private_key, tenant.role.alg) for tenant in tenants)
    )
    return keys


async def register(api: ApiClient, tenant: TenantSide, key: tuple[bytes, bytes]) -> None:
    """Create the tenant with its public key and its endpoint; give it what it needs to open."""
    customer_id = tenant.role.customer_id
    private_pem, public_pem = key
    path = tenant_path(customer_id)
    await api.ask("POST", "/v1/tenants", {"customer_id": customer_id, "name": customer_id.title()})
    await api.ask("POST", f"{path}/public-keys", {"public_key": public_pem.decode()})
    endpoint = {"id": f"ep_{customer_id}", "url": tenant.url, "event_types": _EVENT_TYPES}
    made = await api.ask("POST", f"{path}/endpoints", endpoint)
    tenant.can_open(private_pem, made["signing_secret"], made["id"])
