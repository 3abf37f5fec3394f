"""Routes of a tenant's endpoints."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msgspec import UNSET

from hookseal.api.commands import command_id, endpoint_of, etag_of, idempotency_key, stable_id
from hookseal.api.operations import Operation, Reply
from hookseal.api.schemas import (
    EndpointCreate,
    EndpointCreated,
    EndpointOut,
    Endpoints,
    EndpointUpdate,
    Queued,
    RotateRequest,
    SecretOut,
)
from hookseal.api.serializers import endpoint_fields, shown_endpoint
from hookseal.domain.command import (
    AddEndpoint,
    ChangeEndpoint,
    RemoveEndpoint,
    ResumeEndpoint,
    RotateSecret,
)
from hookseal.domain.endpoint import (
    EndpointLimits,
    check_endpoint_id,
    check_event_types,
    check_limits,
    check_retry_delays,
)
from hookseal.domain.endpoint_headers import check_headers
from hookseal.domain.new_event import endpoint_test
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import Notices
    from hookseal.api.schemas import LimitsIn
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import Tenant
    from hookseal.seal.sign import SigningSecrets

_TAG = "Endpoints"
_SCOPE = "endpoints:write"
_ALL = "/v1/tenants/{customer_id}/endpoints"
_ONE = f"{_ALL}/{{id}}"


class EndpointOperations:
    """`/v1/tenants/{c}/endpoints`."""

    def __init__(
        self,
        *,
        changes: TenantChanges,
        notices: Notices,
        secrets: SigningSecrets,
        check_url: Callable[[str], str],
    ) -> None:
        self._changes = changes
        self._notices = notices
        self._secrets = secrets
        self._check_url = check_url

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "POST",
                _ALL,
                "addEndpoint",
                "Add an endpoint; its signing secret is shown this once.",
                _TAG,
                self._add,
                scope=_SCOPE,
                status=HTTPStatus.CREATED,
                takes=EndpointCreate,
                returns=EndpointCreated,
                changes=True,
            ),
            Operation(
                "GET",
                _ALL,
                "listEndpoints",
                "List the endpoints, in the order they were added.",
                _TAG,
                self._list,
                returns=Endpoints,
            ),
            Operation(
                "GET",
                _ONE,
                "getEndpoint",
                "Show an endpoint.",
                _TAG,
                self._get,
                returns=EndpointOut,
            ),
            Operation(
                "PATCH",
                _ONE,
                "changeEndpoint",
                "Change what is given, keep the rest.",
                _TAG,
                self._change,
                scope=_SCOPE,
                takes=EndpointUpdate,
                returns=EndpointOut,
                changes=True,
                description=(
                    "Takes effect on what waits, too: at its next attempt. Events for a "
                    "disabled endpoint are dead-lettered."
                ),
            ),
            Operation(
                "DELETE",
                _ONE,
                "removeEndpoint",
                "Remove an endpoint; what waits for it is dead-lettered.",
                _TAG,
                self._remove,
                scope=_SCOPE,
                status=HTTPStatus.NO_CONTENT,
                changes=True,
            ),
            Operation(
                "POST",
                f"{_ONE}/rotate-secret",
                "rotateSecret",
                "Sign with a new secret, and for a while with the one before it as well.",
                _TAG,
                self._rotate_secret,
                scope=_SCOPE,
                takes=RotateRequest,
                returns=SecretOut,
                changes=True,
            ),
            Operation(
                "POST",
                f"{_ONE}/resume",
                "resumeEndpoint",
                "Try a suspended endpoint now instead of at its next probe.",
                _TAG,
                self._resume,
                scope=_SCOPE,
                returns=EndpointOut,
                changes=True,
                description=(
                    "If it accepts, what was set aside is delivered in its order, and newer "
                    "events behind it. If not it stays suspended. An endpoint that is not "
                    "suspended is refused with 409 `endpoint_not_suspended`."
                ),
            ),
            Operation(
                "POST",
                f"{_ONE}/test",
                "testEndpoint",
                "Send a test event, `hookseal.test`, to this endpoint alone.",
                _TAG,
                self._test,
                scope=_SCOPE,
                status=HTTPStatus.ACCEPTED,
                returns=Queued,
                description="It takes its turn behind the events that are on the log already.",
            ),
        )

    async def _add(self, call: Call) -> Reply:
        asked = call.body_as(EndpointCreate)
        known_as = command_id(call, call.customer_id)
        endpoint_id = (
            stable_id("ep", known_as) if asked.id is UNSET else check_endpoint_id(asked.id)
        )
        command = self._changes.command(
            call,
            AddEndpoint,
            call.customer_id,
            known_as=known_as,
            endpoint_id=endpoint_id,
            url=self._check_url(asked.url),
            event_types=check_event_types(asked.event_types),
            headers=check_headers(asked.headers),
            description=asked.description,
            retry_delays_s=(
                None if asked.retry_delays_s is None else check_retry_delays(asked.retry_delays_s)
            ),
            limits=_limits(asked.limits),
        )
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(command)
        added = endpoint_of(after, endpoint_id)
        made = EndpointCreated(
            **endpoint_fields(added, call.principal),
            signing_secret=self._secret(after, added),
        )
        place = f"{call.request.rel_url.raw_path}/{endpoint_id}"
        return Reply(made, {"Location": place, **etag_of(after)})

    async def _list(self, call: Call) -> Reply:
        tenant = await self._changes.tenant(call.customer_id)
        shown = [shown_endpoint(endpoint, call.principal) for endpoint in tenant.endpoints]
        return Reply(Endpoints(items=shown), etag_of(tenant))

    async def _get(self, call: Call) -> Reply:
        tenant, endpoint = await self._changes.endpoint(call.customer_id, call.part("id"))
        return Reply(shown_endpoint(endpoint, call.principal), etag_of(tenant))

    async def _change(self, call: Call) -> Reply:
        asked = call.body_as(EndpointUpdate)
        fields: dict[str, Any] = {
            name: value
            for name in asked.__struct_fields__
            if (value := getattr(asked, name)) is not UNSET
        }
        if not fields:
            raise InvalidInputError("nothing_to_change", "Give at least one field to change.")
        for name, check in (
            ("url", self._check_url),
            ("event_types", check_event_types),
            ("headers", check_headers),
            ("retry_delays_s", check_retry_delays),
            ("limits", _limits),
        ):
            if fields.get(name) is not None:
                fields[name] = check(fields[name])
        if "retry_delays_s" in fields and fields["retry_delays_s"] is None:
            fields["operators_schedule"] = True
        endpoint_id = call.part("id")
        await self._changes.endpoint(call.customer_id, endpoint_id)
        after = await self._changes.changed(
            self._changes.command(
                call, ChangeEndpoint, call.customer_id, endpoint_id=endpoint_id, **fields
            )
        )
        return Reply(
            shown_endpoint(endpoint_of(after, endpoint_id), call.principal), etag_of(after)
        )

    async def _remove(self, call: Call) -> Reply:
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(
            self._changes.command(
                call, RemoveEndpoint, call.customer_id, endpoint_id=call.part("id")
            )
        )
        return Reply(headers=etag_of(after))

    async def _rotate_secret(self, call: Call) -> Reply:
        endpoint_id = call.part("id")
        await self._changes.endpoint(call.customer_id, endpoint_id)
        after = await self._changes.changed(
            self._changes.command(
                call,
                RotateSecret,
                call.customer_id,
                endpoint_id=endpoint_id,
                overlap_s=call.body_as(RotateRequest).overlap_s,
            )
        )
        endpoint = endpoint_of(after, endpoint_id)
        shown = shown_endpoint(endpoint, call.principal)
        return Reply(
            SecretOut(
                signing_secret=self._secret(after, endpoint),
                secret_version=endpoint.secret_version,
                previous_secret_until=shown.previous_secret_until,
            ),
            etag_of(after),
        )

    async def _resume(self, call: Call) -> Reply:
        endpoint_id = call.part("id")
        await self._changes.endpoint(call.customer_id, endpoint_id)
        after = await self._changes.changed(
            self._changes.command(call, ResumeEndpoint, call.customer_id, endpoint_id=endpoint_id)
        )
        return Reply(
            shown_endpoint(endpoint_of(after, endpoint_id), call.principal), etag_of(after)
        )

    async def _test(self, call: Call) -> Reply:
        _, endpoint = await self._changes.endpoint(call.customer_id, call.part("id"))
        key = idempotency_key(call)
        event_id = (
            f"evt_test_{uuid4().hex}"
            if key is None
            else stable_id("evt_test", call.customer_id, endpoint.id, key)
        )
        await self._notices.publish_once(endpoint_test(call.customer_id, endpoint.id, event_id))
        return Reply(Queued(id=event_id))

    def _secret(self, tenant: Tenant, endpoint: Endpoint) -> str:
        return self._secrets.show(tenant.customer_id, endpoint.id, endpoint.secret_version)


def _limits(asked: LimitsIn) -> EndpointLimits:
    return check_limits(EndpointLimits(asked.concurrency, asked.rate_per_s, asked.timeout_s))
