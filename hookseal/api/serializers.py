"""Serializes tenants: never a secret or a digest, and header values only with their scope."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hookseal.api.schemas import (
    ApiKeyOut,
    EndpointOut,
    LimitsIn,
    PublicKeyOut,
    TenantOut,
    TenantSummary,
)

if TYPE_CHECKING:
    from hookseal.api.auth import Principal
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import PublicKey, Tenant

MASKED = "***"

_Out = TypeVar("_Out", bound=msgspec.Struct)
_EndpointOut = TypeVar("_EndpointOut", bound=EndpointOut)


def tenant_summary(tenant: Tenant) -> TenantSummary:
    """Return the tenant as an item of a list."""
    return _converted(
        tenant,
        TenantSummary,
        public_keys=len(tenant.public_keys),
        endpoints=len(tenant.endpoints),
    )


def tenant_out(tenant: Tenant, principal: Principal) -> TenantOut:
    """Return the tenant as the principal may read it."""
    return _converted(
        tenant,
        TenantOut,
        api_keys=[
            _converted(key, ApiKeyOut, created_at=_rfc3339(key.created_at))
            for key in tenant.api_keys
        ],
        public_keys=[public_key_out(key) for key in tenant.public_keys],
        endpoints=[endpoint_out(endpoint, principal) for endpoint in tenant.endpoints],
    )


def public_key_out(key: PublicKey) -> PublicKeyOut:
    """Return the public key."""
    return _converted(key, PublicKeyOut, public_key=key.jwk)


def endpoint_out(
    endpoint: Endpoint,
    principal: Principal,
    kind: type[_EndpointOut] = EndpointOut,  # type: ignore[assignment]
    **more: Any,
) -> _EndpointOut:
    """Return the endpoint as the principal may read it.

    The values of custom headers can be secrets: to read them, a key needs the scope to set them.
    """
    headers = endpoint.headers
    if not principal.may("endpoints:write"):
        headers = dict.fromkeys(headers, MASKED)
    suspension = endpoint.suspension
    return _converted(
        endpoint,
        kind,
        headers=headers,
        suspended_since=None if suspension is None else _rfc3339(suspension.since),
        suspended_because=None if suspension is None else suspension.why,
        previous_secret_until=_rfc3339(endpoint.previous_secret_until),
        limits=LimitsIn(**msgspec.structs.asdict(endpoint.limits)),
        **more,
    )


def _converted(source: object, kind: type[_Out], **given: Any) -> _Out:
    """Return only the members that `kind` declares: given, or attributes of the source."""
    names = [field.name for field in msgspec.structs.fields(kind)]
    # Without validation: a document of an earlier release may exceed the limits of this one.
    return kind(**{name: given[name] if name in given else getattr(source, name) for name in names})


def _rfc3339(moment: float | None) -> str | None:
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
