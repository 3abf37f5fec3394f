"""Serializes tenants: never a secret or a digest; header values only with the scope for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from hookseal.api.schemas import (
    ApiKeyOut,
    EndpointOut,
    LimitsIn,
    PublicKeyOut,
    TenantOut,
    TenantSummary,
)

if TYPE_CHECKING:
    from hookseal.api.principals import Principal
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import PublicKey, Tenant

MASKED = "***"


def summary_of(tenant: Tenant) -> TenantSummary:
    """Return the tenant for a list."""
    return TenantSummary(
        customer_id=tenant.customer_id,
        name=tenant.name,
        enabled=tenant.enabled,
        revision=tenant.revision,
        public_keys=len(tenant.public_keys),
        endpoints=len(tenant.endpoints),
    )


def shown_tenant(tenant: Tenant, principal: Principal) -> TenantOut:
    """Return the tenant as this one may see it."""
    return TenantOut(
        customer_id=tenant.customer_id,
        name=tenant.name,
        enabled=tenant.enabled,
        revision=tenant.revision,
        api_keys=[
            ApiKeyOut(id=key.id, scopes=list(key.scopes), created_at=_rfc3339(key.created_at))
            for key in tenant.api_keys
        ],
        public_keys=[shown_key(key) for key in tenant.public_keys],
        endpoints=[shown_endpoint(endpoint, principal) for endpoint in tenant.endpoints],
    )


def shown_key(key: PublicKey) -> PublicKeyOut:
    """Return the public key."""
    return PublicKeyOut(
        kid=key.kid, alg=cast("Any", key.alg), state=key.state, public_key=dict(key.jwk)
    )


def shown_endpoint(endpoint: Endpoint, principal: Principal) -> EndpointOut:
    """Return the endpoint as this one may see it."""
    return EndpointOut(**endpoint_fields(endpoint, principal))


def endpoint_fields(endpoint: Endpoint, principal: Principal) -> dict[str, Any]:
    """Return the endpoint's fields that the principal may see.

    The values of custom headers can be secrets: reading them needs the scope that sets them.
    """
    masked = not principal.may("endpoints:write")
    until = endpoint.previous_secret_until
    delays_s = endpoint.retry_delays_s
    suspension = endpoint.suspension
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "headers": {name: MASKED if masked else value for name, value in endpoint.headers.items()},
        "description": endpoint.description,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "state": endpoint.state,
        "suspended_since": None if suspension is None else _rfc3339(suspension.since),
        "suspended_because": None if suspension is None else suspension.why,
        "secret_version": endpoint.secret_version,
        "previous_secret_until": None if until is None else _rfc3339(until),
        "retry_delays_s": None if delays_s is None else list(delays_s),
        "limits": LimitsIn(
            concurrency=endpoint.limits.concurrency,
            rate_per_s=endpoint.limits.rate_per_s,
            timeout_s=endpoint.limits.timeout_s,
        ),
    }


def _rfc3339(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
