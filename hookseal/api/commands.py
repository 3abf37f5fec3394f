"""Turns requests into tenant commands: ids, preconditions, results."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hookseal.api.ports import wait_until_current
from hookseal.api.problems import Problem, unknown_tenant
from hookseal.domain.conflicts import conflict
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.api.operations import Call
    from hookseal.api.ports import Changes, TenantsModel
    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import Command
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import ApiKey, Tenant
    from hookseal.seal.api_keys import ApiKeys

# draft-ietf-httpapi-idempotency-key-header: a quoted string; many clients omit the quotes.
_IDEMPOTENCY_KEY = re.compile(
    r'"(?P<quoted>[\x20-\x21\x23-\x7e]{1,255})"|(?P<bare>[\x21-\x7e]{1,255})'
)
_ETAG = re.compile(r'"(\d{1,18})"', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantChanges:
    """Looks up tenants and submits commands; raises `HooksealError` while they are not ready."""

    model: TenantsModel
    changes: Changes
    clock: Clock

    async def tenant(self, customer_id: str) -> Tenant:
        """Return the tenant; raise 404 `unknown_tenant` or 503 `not_ready`."""
        if reason := self.model.why_not_ready():
            raise reason
        found = self.model.get(customer_id)
        if found is None:
            await wait_until_current(self.model)
            found = self.model.get(customer_id)
        if found is None:
            raise unknown_tenant()
        return found

    async def endpoint(
        self, customer_id: str, endpoint_id: str, *, field: str = "id"
    ) -> tuple[Tenant, Endpoint]:
        """Return the tenant and its endpoint; raise as `tenant`, or 404 `unknown_endpoint`."""
        tenant = await self.tenant(customer_id)
        if tenant.endpoint(endpoint_id) is None:
            await wait_until_current(self.model)
            tenant = await self.tenant(customer_id)
        return tenant, endpoint_of(tenant, endpoint_id, field=field)

    async def submit(
        self,
        call: Call,
        kind: Callable[..., Command],
        *,
        customer_id: str | None = None,
        **fields: Any,
    ) -> Tenant | None:
        """Submit the command that the request asks for; return the tenant, None if it is deleted.

        Args:
            customer_id: A tenant that may not exist yet. None for the tenant of the path, looked
                up as by `tenant`.

        Raises:
            InvalidInputError: `idempotency_key_invalid`, `if_match_invalid`.
            ConflictError: The command is refused.
            BrokerError: The command may still be applied.
        """
        if customer_id is None:
            customer_id = (await self.tenant(call.customer_id)).customer_id
        command = kind(
            customer_id=customer_id,
            id=command_id(call, customer_id),
            at=self.clock.now(),
            if_revision=_revision(call),
            fingerprint=call.fingerprint,
            **fields,
        )
        if reason := self.model.why_not_ready():
            raise reason
        return await self.changes.submit(command)

    async def change(self, call: Call, kind: Callable[..., Command], **fields: Any) -> Tenant:
        """Submit as `submit`; raise 404 `unknown_tenant` if the tenant was deleted meanwhile."""
        after = await self.submit(call, kind, **fields)
        if after is None:
            raise unknown_tenant()
        return after


def endpoint_of(tenant: Tenant, endpoint_id: str, *, field: str = "id") -> Endpoint:
    """Return the endpoint; raise 404 `unknown_endpoint`."""
    found = tenant.endpoint(endpoint_id)
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "unknown_endpoint",
            "The tenant has no endpoint with this id. List its endpoints.",
            field=field,
        )
    return found


def etag_of(tenant: Tenant) -> dict[str, str]:
    """Return the header with the tenant's revision (RFC 9110 section 8.8.3)."""
    return {"ETag": f'"{tenant.revision}"'}


def command_id(call: Call, customer_id: str) -> str:
    """Return an id: the same for the same principal and Idempotency-Key, and random without one.

    Another key never gets the response of a request that it did not make.
    """
    key = idempotency_key(call)
    if key is None:
        return f"cmd_{uuid4().hex}"
    return stable_id("idem", call.principal.id, customer_id, key)


def api_key_seed(call: Call, customer_id: str) -> tuple[str, str] | None:
    """Return a seed for an API key: the same for the same principal and Idempotency-Key."""
    has_key = idempotency_key(call) is not None
    return (customer_id, command_id(call, customer_id)) if has_key else None


def created_api_key(
    api_keys: ApiKeys, after: Tenant, made: tuple[str, ApiKey], seed: tuple[str, str] | None
) -> tuple[str, ApiKey]:
    """Return the API key as the tenant has it: the first request of a repeated one stored it.

    Raises ConflictError: `unknown_api_key`, if the key was revoked meanwhile.
    """
    _, new = made
    stored = after.api_key(new.id)
    if stored == new:
        return made
    shown = None if stored is None or seed is None else api_keys.again(stored, seed)
    if stored is None or shown is None:
        raise conflict("unknown_api_key")
    return shown, stored


def idempotency_key(call: Call) -> str | None:
    """Return the request's Idempotency-Key, or None; raise `idempotency_key_invalid`."""
    header = call.request.headers.get("Idempotency-Key")
    if header is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidInputError(
            "idempotency_key_invalid",
            "Send 1 to 255 printable ASCII characters, for instance a UUID.",
            field="Idempotency-Key",
        )
    return match["quoted"] or match["bare"]


def stable_id(prefix: str, *parts: str) -> str:
    """Return an id that depends on the parts only."""
    named = "".join(f"{len(part)}:{part}" for part in parts)
    return f"{prefix}_{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def _revision(call: Call) -> int | None:
    header = call.request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise InvalidInputError(
            "if_match_invalid",
            'Send the ETag of the tenant as the API returned it, for instance "3".',
            field="If-Match",
        )
    return int(match[1])
