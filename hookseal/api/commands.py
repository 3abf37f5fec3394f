"""Turns requests into tenant commands: ids, preconditions, results."""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from hookseal.api.principals import unknown_tenant
from hookseal.api.problems import Problem, unavailable
from hookseal.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.api.operations import Call
    from hookseal.api.ports import Changes, TenantsModel
    from hookseal.delivery.ports import Clock
    from hookseal.domain.command import Command
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import Tenant

_Kind = TypeVar("_Kind")

_SETTLE_S = 1.0
# draft-ietf-httpapi-idempotency-key-header: a quoted string; many clients leave the quotes out.
_IDEMPOTENCY_KEY = re.compile(
    r'"(?P<quoted>[\x20-\x21\x23-\x7e]{1,255})"|(?P<bare>[\x21-\x7e]{1,255})'
)
_ETAG = re.compile(r'"(\d{1,18})"', re.ASCII)


class TenantChanges:
    """Looks up tenants and submits commands."""

    def __init__(self, *, model: TenantsModel, changes: Changes, clock: Clock) -> None:
        self._model = model
        self._changes = changes
        self._clock = clock

    async def tenant(self, customer_id: str) -> Tenant:
        """Return the tenant.

        Raises:
            HooksealError: While the tenants are not known.
            Problem: 404 `unknown_tenant`; 503 while the tenants are not known.
        """
        if reason := self._model.why_not_ready():
            raise reason
        found = self._model.get(customer_id)
        if found is None:
            await self._settle()
            found = self._model.get(customer_id)
        if found is None:
            raise unknown_tenant()
        return found

    async def endpoint(
        self, customer_id: str, endpoint_id: str, *, field: str = "id"
    ) -> tuple[Tenant, Endpoint]:
        """Return the tenant, and the one of its endpoints that has this id.

        Raises:
            HooksealError: While the tenants are not known.
            Problem: 404 `unknown_tenant`, `unknown_endpoint`; 503 while it cannot be told
                whether there is one.
        """
        tenant = await self.tenant(customer_id)
        if tenant.endpoint(endpoint_id) is None:
            await self._settle()
            tenant = await self.tenant(customer_id)
        return tenant, endpoint_of(tenant, endpoint_id, field=field)

    async def _settle(self) -> None:
        # Another process may have created it a moment ago.
        if not await self._model.settle(_SETTLE_S):
            raise self._model.why_not_ready() or unavailable(
                "not_ready", "Whether there is such a thing cannot be told just now; try again."
            )

    def command(
        self,
        call: Call,
        kind: Callable[..., _Kind],
        customer_id: str,
        *,
        known_as: str | None = None,
        **fields: Any,
    ) -> _Kind:
        """Return the command that the request asks for.

        Args:
            known_as: Its `command_id`, where that was needed for one of the fields.

        Raises:
            InvalidInputError: `idempotency_key_invalid`, `if_match_invalid`.
        """
        return kind(
            customer_id=customer_id,
            id=known_as or command_id(call, customer_id),
            at=self._clock.now(),
            if_revision=_revision(call),
            fingerprint=call.fingerprint,
            **fields,
        )

    async def submit(self, command: Command) -> Tenant | None:
        """Have the command applied; return the tenant after it, None if it is gone.

        Raises:
            ConflictError: The change is refused.
            BrokerError: The change may still come.
        """
        if reason := self._model.why_not_ready():
            raise reason
        return await self._changes.submit(command)

    async def changed(self, command: Command) -> Tenant:
        """Have the command applied; return the tenant after it.

        Raises:
            ConflictError: The change is refused; `unknown_tenant`, the tenant is gone.
            BrokerError: The change may still come.
        """
        after = await self.submit(command)
        if after is None:
            raise ConflictError("unknown_tenant", "There is no tenant of this customer id.")
        return after


def endpoint_of(tenant: Tenant, endpoint_id: str, *, field: str = "id") -> Endpoint:
    """Return the endpoint of this id.

    Raises:
        Problem: 404 `unknown_endpoint`.
    """
    found = tenant.endpoint(endpoint_id)
    if found is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "unknown_endpoint",
            "The tenant has no endpoint of this id.",
            field=field,
        )
    return found


def etag_of(tenant: Tenant) -> dict[str, str]:
    """Return the header that names the tenant's revision (RFC 9110 section 8.8.3)."""
    return {"ETag": f'"{tenant.revision}"'}


def command_id(call: Call, customer_id: str) -> str:
    """Return the id of the request's command: the same for the same Idempotency-Key.

    Raises:
        InvalidInputError: `idempotency_key_invalid`.
    """
    key = idempotency_key(call)
    if key is None:
        return f"cmd_{uuid4().hex}"
    return stable_id("idem", customer_id, key)


def idempotency_key(call: Call) -> str | None:
    """Return the request's Idempotency-Key, None without one.

    Raises:
        InvalidInputError: `idempotency_key_invalid`.
    """
    header = call.request.headers.get("Idempotency-Key")
    if header is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidInputError(
            "idempotency_key_invalid",
            "Give 1 to 255 printable ASCII characters, a UUID for instance.",
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
            'Give the ETag of the tenant as it was read, "3".',
            field="If-Match",
        )
    return int(match[1])
