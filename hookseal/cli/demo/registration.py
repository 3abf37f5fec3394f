"""Making the demo's tenants, the way `hookseal tenants` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.cli.changes import a_command
from hookseal.cli.options import checked_url
from hookseal.domain.command import AddEndpoint, AddPublicKey, CreateTenant
from hookseal.seal.keys import generate_private_key, parse_public_key
from hookseal.seal.sign import SigningSecrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.cli.changes import TenantChanges
    from hookseal.cli.demo.receivers import TenantSide
    from hookseal.config import Settings

__all__ = ["make_keys", "register"]

_EVENT_TYPES = ("order.*",)


async def make_keys(tenants: Sequence[TenantSide]) -> list[tuple[bytes, bytes]]:
    """Return a key pair for each tenant, PEM, the private key first."""
    keys: list[tuple[bytes, bytes]] = await asyncio.gather(
        *(asyncio.to_thread(generate_private_key, tenant.role.alg) for tenant in tenants)
    )
    return keys


async def register(
    changes: TenantChanges, tenant: TenantSide, key: tuple[bytes, bytes], settings: Settings
) -> None:
    """Create the tenant with its public key and its endpoint; give it what it needs to open."""
    customer_id = tenant.role.customer_id
    private_pem, public_pem = key
    public = parse_public_key(public_pem)
    endpoint_id = f"ep_{customer_id}"
    await changes.submit(a_command(CreateTenant, customer_id, name=customer_id.title()))
    await changes.submit(
        a_command(AddPublicKey, customer_id, kid=public.kid, alg=public.alg, jwk=dict(public.jwk))
    )
    after = await changes.submit(
        a_command(
            AddEndpoint,
            customer_id,
            endpoint_id=endpoint_id,
            url=checked_url(tenant.url, settings),
            event_types=_EVENT_TYPES,
        )
    )
    endpoint = None if after is None else after.endpoint(endpoint_id)
    version = 1 if endpoint is None else endpoint.secret_version
    secrets = SigningSecrets(settings.master_key_bytes())
    tenant.can_open(private_pem, secrets.show(customer_id, endpoint_id, version), endpoint_id)
