"""Routes of tenants: the operator manages them, a tenant reads itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from hookseal.api import cursors
from hookseal.api.commands import command_id, etag_of, idempotency_key
from hookseal.api.operations import Access, Operation, Reply
from hookseal.api.schemas import (
    Page,
    TenantCreate,
    TenantCreated,
    TenantOut,
    Tenants,
    TenantUpdate,
)
from hookseal.api.serializers import shown_tenant, summary_of
from hookseal.domain.command import CreateTenant, DeleteTenant, DisableTenant, EnableTenant
from hookseal.domain.event import check_customer_id
from hookseal.domain.tenant import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import TenantsModel
    from hookseal.delivery.ports import Clock
    from hookseal.seal.api_keys import ApiKeys

_TAG = "Tenants"


class TenantOperations:
    """`/v1/tenants`."""

    def __init__(
        self, *, changes: TenantChanges, model: TenantsModel, api_keys: ApiKeys, clock: Clock
    ) -> None:
        self._changes = changes
        self._model = model
        self._api_keys = api_keys
        self._clock = clock

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "POST",
                "/v1/tenants",
                "createTenant",
                "Make a tenant, with its first API key.",
                _TAG,
                self._create,
                access=Access.ADMIN,
                status=HTTPStatus.CREATED,
                takes=TenantCreate,
                returns=TenantCreated,
                changes=True,
            ),
            Operation(
                "GET",
                "/v1/tenants",
                "listTenants",
                "List the tenants, by customer id.",
                _TAG,
                self._list,
                access=Access.ADMIN,
                queries=Page,
                returns=Tenants,
            ),
            Operation(
                "GET",
                "/v1/tenants/{customer_id}",
                "getTenant",
                "Show a tenant with its keys and endpoints.",
                _TAG,
                self._get,
                returns=TenantOut,
            ),
            Operation(
                "PATCH",
                "/v1/tenants/{customer_id}",
                "changeTenant",
                "Deliver the tenant's events, or dead-letter them from now on.",
                _TAG,
                self._change,
                access=Access.ADMIN,
                takes=TenantUpdate,
                returns=TenantOut,
                changes=True,
            ),
            Operation(
                "DELETE",
                "/v1/tenants/{customer_id}",
                "deleteTenant",
                "Forget a tenant, its keys and its endpoints.",
                _TAG,
                self._delete,
                access=Access.ADMIN,
                status=HTTPStatus.NO_CONTENT,
                changes=True,
            ),
        )

    async def _create(self, call: Call) -> Reply:
        asked = call.body_as(TenantCreate)
        customer_id = check_customer_id(asked.customer_id)
        known_as = command_id(call, customer_id)
        key, stored = self._api_keys.new(
            SCOPES,
            now=self._clock.now(),
            seed=None if idempotency_key(call) is None else (customer_id, known_as),
        )
        command = self._changes.command(
            call, CreateTenant, customer_id, known_as=known_as, name=asked.name, api_key=stored
        )
        after = await self._changes.changed(command)
        return Reply(
            TenantCreated(customer_id=customer_id, api_key=key),
            {"Location": _place(call, customer_id), **etag_of(after)},
        )

    async def _list(self, call: Call) -> Reply:
        page = call.query_as(Page)
        if reason := self._model.why_not_ready():
            raise reason
        # One more than requested shows whether a next page exists.
        found = self._model.page(cursors.read(page.cursor), page.limit + 1)
        shown = [summary_of(tenant) for tenant in found[: page.limit]]
        more = cursors.write(shown[-1].customer_id) if len(found) > page.limit else None
        return Reply(Tenants(items=shown, next_cursor=more))

    async def _get(self, call: Call) -> Reply:
        tenant = await self._changes.tenant(call.customer_id)
        return Reply(shown_tenant(tenant, call.principal), etag_of(tenant))

    async def _change(self, call: Call) -> Reply:
        kind: Callable[..., EnableTenant | DisableTenant] = DisableTenant
        if call.body_as(TenantUpdate).enabled:
            kind = EnableTenant
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(self._changes.command(call, kind, call.customer_id))
        return Reply(shown_tenant(after, call.principal), etag_of(after))

    async def _delete(self, call: Call) -> Reply:
        await self._changes.tenant(call.customer_id)
        await self._changes.submit(self._changes.command(call, DeleteTenant, call.customer_id))
        return Reply()


def _place(call: Call, customer_id: str) -> str:
    return f"{call.request.rel_url.raw_path}/{quote(customer_id, safe='')}"
