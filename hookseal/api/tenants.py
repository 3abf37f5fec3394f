"""Operations on tenants: the operator manages them, a tenant reads itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from hookseal.api import cursors
from hookseal.api.commands import command_id, etag_of, idempotency_key
from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.schemas import (
    Page,
    TenantCreate,
    TenantCreated,
    TenantOut,
    Tenants,
    TenantUpdate,
)
from hookseal.api.serializers import tenant_out, tenant_summary
from hookseal.domain.api_key import SCOPES
from hookseal.domain.command import CreateTenant, DeleteTenant, DisableTenant, EnableTenant
from hookseal.domain.event import check_customer_id

if TYPE_CHECKING:
    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.seal.api_keys import ApiKeys

_ALL = "/v1/tenants"
_ONE = "/v1/tenants/{customer_id}"
_operation = partial(Operation, tag="Tenants")
_admin_operation = partial(_operation, access=Access.ADMIN)


@dataclass(frozen=True, kw_only=True)
class TenantOperations(Resource):
    """`/v1/tenants`."""

    changes: TenantChanges
    api_keys: ApiKeys

    @_admin_operation(
        "POST",
        _ALL,
        status=HTTPStatus.CREATED,
        takes=TenantCreate,
        returns=TenantCreated,
        changes=True,
    )
    async def create_tenant(self, call: Call) -> Reply:
        """Create a tenant with its first API key, which is shown only once."""
        asked = call.input_as(TenantCreate)
        customer_id = check_customer_id(asked.customer_id)
        known_as = command_id(call, customer_id)
        key, stored = self.api_keys.new(
            SCOPES,
            now=self.changes.clock.now(),
            seed=None if idempotency_key(call) is None else (customer_id, known_as),
        )
        after = await self.changes.change(
            call, CreateTenant, customer_id, known_as=known_as, name=asked.name, api_key=stored
        )
        location = f"{call.request.rel_url.raw_path}/{quote(customer_id, safe='')}"
        return Reply(
            TenantCreated(customer_id=customer_id, api_key=key),
            {"Location": location, **etag_of(after)},
        )

    @_admin_operation("GET", _ALL, queries=Page, returns=Tenants)
    async def list_tenants(self, call: Call) -> Reply:
        """List the tenants, ordered by customer id."""
        page = call.input_as(Page)
        model = self.changes.model
        if reason := model.why_not_ready():
            raise reason
        # One more than requested shows whether a next page exists.
        found = model.page(cursors.read(page.cursor), page.limit + 1)
        items = [tenant_summary(tenant) for tenant in found[: page.limit]]
        more = cursors.write(items[-1].customer_id) if len(found) > page.limit else None
        return Reply(Tenants(items=items, next_cursor=more))

    @_operation("GET", _ONE, returns=TenantOut)
    async def get_tenant(self, call: Call) -> Reply:
        """Show a tenant with its keys and endpoints."""
        tenant = await self.changes.tenant(call.customer_id)
        return Reply(tenant_out(tenant, call.principal), etag_of(tenant))

    @_admin_operation("PATCH", _ONE, takes=TenantUpdate, returns=TenantOut, changes=True)
    async def change_tenant(self, call: Call) -> Reply:
        """Enable or disable a tenant. Events of a disabled tenant are dead-lettered."""
        kind = EnableTenant if call.input_as(TenantUpdate).enabled else DisableTenant
        await self.changes.tenant(call.customer_id)
        after = await self.changes.change(call, kind, call.customer_id)
        return Reply(tenant_out(after, call.principal), etag_of(after))

    @_admin_operation("DELETE", _ONE, status=HTTPStatus.NO_CONTENT, changes=True)
    async def delete_tenant(self, call: Call) -> Reply:
        """Delete a tenant with its keys and endpoints."""
        await self.changes.tenant(call.customer_id)
        await self.changes.submit(call, DeleteTenant, call.customer_id)
        return Reply()
