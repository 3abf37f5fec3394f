"""Reasons for which a change of a tenant is refused. Kafka carries the code only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.tenant import (
    API_KEYS_MAX,
    DOCUMENT_MAX_BYTES,
    document_bytes,
    largest_endpoint,
)
from hookseal.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.domain.tenant import Tenant

ENDPOINTS_MAX = 50
PUBLIC_KEYS_MAX = 10
TENANT_TOO_LARGE = "tenant_too_large"

CONFLICTS: Mapping[str, str] = {
    "unknown_tenant": "No tenant has this customer id.",
    "tenant_exists": "A tenant with this customer id exists already.",
    "revision_conflict": "The tenant was changed meanwhile. Read it again and retry.",
    "idempotency_key_reused": (
        "This Idempotency-Key was used for another request. Use a new key for each request."
    ),
    "api_key_exists": "The tenant has an API key with this id already.",
    "unknown_api_key": "The tenant has no API key with this id.",
    "too_many_api_keys": f"A tenant has at most {API_KEYS_MAX} API keys. Revoke one first.",
    "key_exists": "The tenant has this public key already.",
    "unknown_key": "The tenant has no public key with this id.",
    "too_many_keys": f"A tenant has at most {PUBLIC_KEYS_MAX} public keys. Remove one first.",
    "endpoint_exists": "The tenant has an endpoint with this id already.",
    "unknown_endpoint": "The tenant has no endpoint with this id.",
    "endpoint_not_suspended": "The endpoint is not suspended or paused; its events are delivered.",
    "endpoint_suspended_already": "The endpoint is suspended already.",
    "suspension_taken_over": "Another worker owns the endpoint's suspension.",
    "too_many_endpoints": f"A tenant has at most {ENDPOINTS_MAX} endpoints. Remove one first.",
    # `too_large` adds the numbers.
    TENANT_TOO_LARGE: "The change does not fit into the tenant's document.",
    "change_not_stored": (
        "Kafka refused to store the change, so nothing was changed. The operator's log has the "
        "cause (tenants.write_refused). Retry once it is fixed."
    ),
}


def conflict(code: str, *, field: str | None = None) -> ConflictError:
    """Return the error for a change that the tenant's state does not allow."""
    return ConflictError(code, CONFLICTS.get(code, "A worker refused the change."), field=field)


def too_large(tenant: Tenant) -> ConflictError:
    """Return the error for a change that does not fit, with size, limit and largest endpoint."""
    message = (
        f"The change does not fit: the tenant's document has {document_bytes(tenant):,} of at most "
        f"{DOCUMENT_MAX_BYTES:,} bytes. Shorten or remove event types, custom headers, "
        "descriptions or endpoints."
    )
    if tenant.endpoints:
        size, endpoint_id = largest_endpoint(tenant)
        message += f" The largest endpoint is {endpoint_id} ({size:,} bytes)."
    return ConflictError(TENANT_TOO_LARGE, message, field=tenant.customer_id)
