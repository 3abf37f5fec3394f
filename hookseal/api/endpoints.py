"""Operations on a tenant's endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from msgspec import UNSET
from msgspec.structs import asdict

from hookseal.api import endpoint_schemas as schemas
from hookseal.api.commands import command_id, endpoint_of, etag_of, idempotency_key, stable_id
from hookseal.api.operations import Operation, Reply, Resource
from hookseal.domain import command as commands
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
    from collections.abc import Callable

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import Events
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import Tenant
    from hookseal.seal.sign import SigningSecrets

_ALL = "/v1/tenants/{customer_id}/endpoints"
_ONE = f"{_ALL}/{{id}}"
_read = partial(Operation, tag="Endpoints")
_change = partial(_read, scope="endpoints:write", changes=True)


@dataclass(frozen=True, kw_only=True)
class EndpointOperations(Resource):
    """`/v1/tenants/{c}/endpoints`."""

    changes: TenantChanges
    events: Events
    secrets: SigningSecrets
    check_url: Callable[[str], str]
    retry_max_s: float

    @_change(
        "POST",
        _ALL,
        status=HTTPStatus.CREATED,
        takes=schemas.EndpointCreate,
        returns=schemas.EndpointCreated,
    )
    async def add_endpoint(self, call: Call) -> Reply:
        """Add an endpoint. Its signing secret is shown only once."""
        asked = call.input_as(schemas.EndpointCreate)
        fields = self._checked(asdict(asked))
        given = fields.pop("id")
        endpoint_id = (
            stable_id("ep", command_id(call, call.customer_id))
            if given is UNSET
            else check_endpoint_id(given)
        )
        after = await self.changes.change(
            call, commands.AddEndpoint, endpoint_id=endpoint_id, **fields
        )
        added = endpoint_of(after, endpoint_id)
        created = schemas.EndpointCreated(
            **asdict(schemas.endpoint_out(added, call.principal)),
            signing_secret=self._secret(after, added),
        )
        location = f"{call.request.rel_url.raw_path}/{endpoint_id}"
        return Reply(created, {"Location": location, **etag_of(after)})

    @_read("GET", _ALL, returns=schemas.Endpoints)
    async def list_endpoints(self, call: Call) -> Reply:
        """List the endpoints, in the order they were added."""
        tenant = await self.changes.tenant(call.customer_id)
        items = [schemas.endpoint_out(endpoint, call.principal) for endpoint in tenant.endpoints]
        return Reply(schemas.Endpoints(items=items), etag_of(tenant))

    @_read("GET", _ONE, returns=schemas.EndpointOut)
    async def get_endpoint(self, call: Call) -> Reply:
        """Show an endpoint."""
        tenant, endpoint = await self.changes.endpoint(call.customer_id, call.part("id"))
        return Reply(schemas.endpoint_out(endpoint, call.principal), etag_of(tenant))

    @_change("PATCH", _ONE, takes=schemas.EndpointUpdate, returns=schemas.EndpointOut)
    async def change_endpoint(self, call: Call) -> Reply:
        """Change the given members of an endpoint.

        Deliveries in backoff use the changed endpoint from their next attempt. Events for a
        disabled endpoint are dead-lettered.
        """
        asked = asdict(call.input_as(schemas.EndpointUpdate))
        fields = self._checked({name: asked[name] for name in asked if asked[name] is not UNSET})
        if not fields:
            raise InvalidInputError("nothing_to_change", "Send at least one member to change.")
        if "retry_delays_s" in fields and fields["retry_delays_s"] is None:
            fields["operators_schedule"] = True
        if "ordering" in fields and fields["ordering"] is None:
            fields["operators_ordering"] = True
        return await self._changed(call, commands.ChangeEndpoint, **fields)

    @_change("DELETE", _ONE, status=HTTPStatus.NO_CONTENT)
    async def remove_endpoint(self, call: Call) -> Reply:
        """Remove an endpoint. Its deliveries in backoff are dead-lettered."""
        # Without a lookup of the endpoint: a repeat with the same Idempotency-Key succeeds, too.
        after = await self.changes.change(
            call, commands.RemoveEndpoint, endpoint_id=call.part("id")
        )
        return Reply(headers=etag_of(after))

    @_change(
        "POST", f"{_ONE}/rotate-secret", takes=schemas.RotateRequest, returns=schemas.SecretOut
    )
    async def rotate_secret(self, call: Call) -> Reply:
        """Sign with a new secret, and until the overlap ends with the previous secret as well."""
        overlap_s = call.input_as(schemas.RotateRequest).overlap_s
        after, endpoint = await self._apply(call, commands.RotateSecret, overlap_s=overlap_s)
        return Reply(
            schemas.SecretOut(
                signing_secret=self._secret(after, endpoint),
                secret_version=endpoint.secret_version,
                previous_secret_until=schemas.endpoint_out(
                    endpoint, call.principal
                ).previous_secret_until,
            ),
            etag_of(after),
        )

    @_change("POST", f"{_ONE}/pause", returns=schemas.EndpointOut)
    async def pause_endpoint(self, call: Call) -> Reply:
        """Make no attempt at an endpoint until it is resumed.

        Its events are deferred in order. No probe runs, and no deferred event is given up. To pause
        a paused endpoint changes nothing.
        """
        return await self._changed(call, commands.PauseEndpoint)

    @_change("POST", f"{_ONE}/resume", returns=schemas.EndpointOut)
    async def resume_endpoint(self, call: Call) -> Reply:
        """End a pause, or probe a suspended endpoint now instead of at its next probe.

        If the endpoint accepts the probe, its deferred events are delivered in order, and newer
        events after them. Otherwise it stays suspended. For an endpoint that is neither suspended
        nor paused the answer is 409 `endpoint_not_suspended`.
        """
        return await self._changed(call, commands.ResumeEndpoint)

    @_read(
        "POST",
        f"{_ONE}/test",
        scope="endpoints:write",
        status=HTTPStatus.ACCEPTED,
        returns=schemas.Queued,
    )
    async def test_endpoint(self, call: Call) -> Reply:
        """Send a test event, `hookseal.test`, to this endpoint only.

        It is delivered after the events that were published before it.
        """
        _, endpoint = await self.changes.endpoint(call.customer_id, call.part("id"))
        key = idempotency_key(call)
        event_id = (
            f"evt_test_{uuid4().hex}"
            if key is None
            else stable_id("evt_test", call.principal.id, call.customer_id, endpoint.id, key)
        )
        await self.events.publish_once(endpoint_test(call.customer_id, endpoint.id, event_id))
        return Reply(schemas.Queued(id=event_id))

    async def _changed(self, call: Call, kind: Callable[..., Any], **fields: Any) -> Reply:
        after, endpoint = await self._apply(call, kind, **fields)
        return Reply(schemas.endpoint_out(endpoint, call.principal), etag_of(after))

    async def _apply(
        self, call: Call, kind: Callable[..., Any], **fields: Any
    ) -> tuple[Tenant, Endpoint]:
        endpoint_id = call.part("id")
        await self.changes.endpoint(call.customer_id, endpoint_id)
        after = await self.changes.change(call, kind, endpoint_id=endpoint_id, **fields)
        return after, endpoint_of(after, endpoint_id)

    def _checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        checks: dict[str, Callable[[Any], object]] = {
            "url": self.check_url,
            "event_types": check_event_types,
            "headers": check_headers,
            "retry_delays_s": lambda asked: check_retry_delays(asked, total_s=self.retry_max_s),
            "limits": lambda asked: check_limits(EndpointLimits(**asdict(asked))),
        }
        return {
            name: value if value is None or name not in checks else checks[name](value)
            for name, value in fields.items()
        }

    def _secret(self, tenant: Tenant, endpoint: Endpoint) -> str:
        return self.secrets.show(tenant.customer_id, endpoint.id, endpoint.secret_version)
