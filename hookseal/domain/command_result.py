"""The result of a command, kept in the tenant document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.domain.command import DeleteTenant
from hookseal.domain.conflicts import conflict
from hookseal.domain.tenant_size import TENANT_TOO_LARGE, too_large

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant


def command_result(tenant: Tenant | None, command: Command) -> Tenant | None:
    """Return the tenant after a command that was applied, None if it is gone.

    Raises:
        ConflictError: `unknown_tenant`, `idempotency_key_reused`, or the code with which it
            was refused.
    """
    result = None if tenant is None else tenant.recent_of(command.id)
    if result is None:
        if isinstance(command, DeleteTenant):
            return None
        raise conflict("unknown_tenant", field=command.customer_id)
    if result.fingerprint != command.fingerprint:
        raise conflict("idempotency_key_reused")
    if tenant is not None and result.code == TENANT_TOO_LARGE:
        raise too_large(tenant)
    if result.code != "ok":
        raise conflict(result.code, field=command.customer_id)
    return tenant
