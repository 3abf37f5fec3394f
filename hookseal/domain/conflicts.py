"""Why a change is refused: only the code travels on Kafka, the sentence is found here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.api_key import API_KEYS_MAX
from hookseal.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINTS_MAX = 50
PUBLIC_KEYS_MAX = 10

CONFLICTS: Mapping[str, str] = {
    "unknown_tenant": "There is no tenant of this customer id.",
    "tenant_exists": "There is a tenant of this customer id already.",
    "revision_conflict": "The tenant was changed meanwhile; read it and try again.",
    "idempotency_key_reused": (
        "This Idempotency-Key was used for another request; take a new one for each."
    ),
    "api_key_exists": "The tenant has an API key of this id already.",
    "unknown_api_key": "The tenant has no API key of this id.",
    "too_many_api_keys": f"A tenant has at most {API_KEYS_MAX} API keys; revoke one.",
    "key_exists": "The tenant has this public key already.",
    "unknown_key": "The tenant has no public key of this id.",
    "too_many_keys": f"A tenant has at most {PUBLIC_KEYS_MAX} public keys; remove one.",
    "endpoint_exists": "The tenant has an endpoint of this id already.",
    "unknown_endpoint": "The tenant has no endpoint of this id.",
    "endpoint_not_suspended": "The endpoint is not suspended; its events are delivered.",
    "endpoint_suspended_already": "The endpoint is suspended already.",
    "suspension_taken_over": "Another worker has the endpoint's suspension in hand.",
    "too_many_endpoints": f"A tenant has at most {ENDPOINTS_MAX} endpoints; remove one.",
    # `tenant_size.too_large` says how large it is.
    "tenant_too_large": "The change does not fit into the tenant's document.",
    "change_not_stored": (
        "Kafka refused to store the change, so nothing was changed. The operator's log has the "
        "cause (tenants.write_refused); try again once it is mended."
    ),
}


def conflict(code: str, *, field: str | None = None) -> ConflictError:
    """Return the error for a change that the tenant's state does not allow."""
    return ConflictError(code, CONFLICTS.get(code, "A worker refused the change."), field=field)
