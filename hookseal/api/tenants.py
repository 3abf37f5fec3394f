"""Operations on tenants: the operator manages them, a tenant reads itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from msgspec import Meta

from hookseal.api.commands import api_key_seed, created_api_key, etag_of
from hookseal.api.endpoint_schemas import EndpointOut, endpoint_out
from hookseal.api.keys import PublicKeyOut, public_key_out
from hookseal.api.operations import Access, Operation, Reply, Resource
from hookseal.api.schemas import CustomerId, Input, Output, Page, read_cursor, write_cursor
from hookseal.domain.command import CreateTenant, DeleteTenant, DisableTenant, EnableTenant
from hookseal.domain.event import check_customer_id
from hookseal.domain.tenant import SCOPES
from hookseal.domain.utc_time import format_utc_seconds

if TYPE_CHECKING:
    from hookseal.api.auth import Principal
    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.domain.tenant import Tenant
    from hookseal.seal.api_keys import ApiKeys

_ALL = "/v1/tenants"
_ONE = "/v1/tenants/{customer_id}"
_operation = partial(Operation, tag="Tenants")
_admin_operation = partial(_operation, access=Access.ADMIN)


class TenantCreate(Input, frozen=True):
    """A tenant to create."""

    customer_id: CustomerId
    name: Annotated[str, Meta(max_length=200, description="For display only.")] = ""


class TenantCreated(Output, frozen=True):
    """The new tenant, with its first API key, which is shown only once."""

    customer_id: str
    api_key: str


class TenantUpdate(Input, frozen=True):
    """Enables or disables a tenant. Events of a disabled tenant are dead-lettered."""

    enabled: bool


class TenantSummary(Output, frozen=True):
    """A tenant in a list."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    public_keys: int
    endpoints: int


class Tenants(Output, frozen=True):
    """A page of tenants, ordered by customer id."""

    items: list[TenantSummary]
    next_cursor: str | None = None


class ApiKeyOut(Output, frozen=True):
    """An API key without its secret."""

    id: str
    scopes: list[str]
    created_at: str


class TenantOut(Output, frozen=True):
    """A tenant with its keys and endpoints."""

    customer_id: str
    name: str
    enabled: bool
    revision: int
    api_keys: list[ApiKeyOut]
    public_keys: list[PublicKeyOut]
    endpoints: list[EndpointOut]


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
        seed = api_key_seed(call, customer_id)
        made = self.api_keys.new(SCOPES, now=self.changes.clock.now(), seed=seed)
        after = await self.changes.change(
            call, CreateTenant, customer_id=customer_id, name=asked.name, api_key=made[1]
        )
        key, _ = created_api_key(self.api_keys, after, made, seed)
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
        found = model.page(read_cursor(page.cursor), page.limit + 1)
        items = [
            TenantSummary(
                customer_id=tenant.customer_id,
                name=tenant.name,
                enabled=tenant.enabled,
                revision=tenant.revision,
                public_keys=len(tenant.public_keys),
                endpoints=len(tenant.endpoints),
            )
            for tenant in found[: page.limit]
        ]
        more = write_cursor(items[-1].customer_id) if len(found) > page.limit else None
        return Reply(Tenants(items=items, next_cursor=more))

    @_operation("GET", _ONE, returns=TenantOut)
    async def get_tenant(self, call: Call) -> Reply:
        """Show a tenant with its keys and endpoints."""
        tenant = await self.changes.tenant(call.customer_id)
        return Reply(_tenant_out(tenant, call.principal), etag_of(tenant))

    @_admin_operation("PATCH", _ONE, takes=TenantUpdate, returns=TenantOut, changes=True)
    async def change_tenant(self, call: Call) -> Reply:
        """Enable or disable a tenant. Events of a disabled tenant are dead-lettered."""
        kind = EnableTenant if call.input_as(TenantUpdate).enabled else DisableTenant
        after = await self.changes.change(call, kind)
        return Reply(_tenant_out(after, call.principal), etag_of(after))

    @_admin_operation("DELETE", _ONE, status=HTTPStatus.NO_CONTENT, changes=True)
    async def delete_tenant(self, call: Call) -> Reply:
        """Delete a tenant with its keys and endpoints."""
        await self.changes.submit(call, DeleteTenant)
        return Reply()


def _tenant_out(tenant: Tenant, principal: Principal) -> TenantOut:
    """Return the tenant as the principal may read it: never a digest of an API key."""
    return TenantOut(
        customer_id=tenant.customer_id,
        name=tenant.name,
        enabled=tenant.enabled,
        revision=tenant.revision,
        api_keys=[
            ApiKeyOut(
                id=key.id,
                scopes=list(key.scopes),
                created_at=f"{format_utc_seconds(int(key.created_at))}Z",
            )
            for key in tenant.api_keys
        ],
        public_keys=[public_key_out(key) for key in tenant.public_keys],
        endpoints=[endpoint_out(endpoint, principal) for endpoint in tenant.endpoints],
    )
