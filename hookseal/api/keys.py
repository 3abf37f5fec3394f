"""Operations on a tenant's API keys and public keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from msgspec import UNSET, Meta, UnsetType

from hookseal.api.commands import api_key_seed, created_api_key, etag_of
from hookseal.api.operations import Operation, Reply, Resource
from hookseal.api.problems import Problem
from hookseal.api.schemas import Input, Output
from hookseal.domain.command import AddApiKey, AddPublicKey, RemoveApiKey, RemovePublicKey
from hookseal.domain.tenant import SCOPES, check_scopes
from hookseal.errors import ConflictError
from hookseal.seal.keys import parse_public_key

if TYPE_CHECKING:
    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.domain.tenant import PublicKey
    from hookseal.seal.api_keys import ApiKeys

_API_KEYS = "/v1/tenants/{customer_id}/api-keys"
_PUBLIC_KEYS = "/v1/tenants/{customer_id}/public-keys"
_change_api_keys = partial(Operation, tag="API keys", scope="keys:write", changes=True)
_change_public_keys = partial(Operation, tag="Public keys", scope="keys:write", changes=True)


class ApiKeyCreate(Input, frozen=True):
    """An API key to create; without `scopes` it has those of the key of the request."""

    scopes: (
        Annotated[
            tuple[str, ...],
            Meta(description=f"One or more of {', '.join(SCOPES)}.", examples=[["events:write"]]),
        ]
        | UnsetType
    ) = UNSET


class ApiKeyCreated(Output, frozen=True):
    """The new API key. `api_key` is shown only once."""

    id: str
    api_key: str
    scopes: list[str]


class PublicKeyCreate(Input, frozen=True):
    """A public key to add: RSA (2048 to 4096 bits), P-256 or X25519."""

    public_key: Annotated[
        str | dict[str, Any],
        Meta(description="A PEM (SubjectPublicKeyInfo) as a string, or a JWK as an object."),
    ]


class PublicKeyOut(Output, frozen=True):
    """A public key: events are encrypted to the `active` one; `retiring` is the previous one."""

    kid: str
    alg: Literal["RSA-OAEP-256", "ECDH-ES"]
    state: Literal["active", "retiring"]
    public_key: dict[str, str]


class Keys(Output, frozen=True):
    """All public keys of a tenant, in the order they were added."""

    items: list[PublicKeyOut]
    next_cursor: None = None


@dataclass(frozen=True, kw_only=True)
class KeyOperations(Resource):
    """`/v1/tenants/{c}/api-keys` and `/v1/tenants/{c}/public-keys`."""

    changes: TenantChanges
    api_keys: ApiKeys

    @_change_api_keys(
        "POST", _API_KEYS, status=HTTPStatus.CREATED, takes=ApiKeyCreate, returns=ApiKeyCreated
    )
    async def create_api_key(self, call: Call) -> Reply:
        """Create an API key, which is shown only once. A tenant has at most two."""
        asked = call.input_as(ApiKeyCreate).scopes
        own = SCOPES if call.principal.is_admin else call.principal.scopes
        scopes = own if asked is UNSET else check_scopes(asked)
        # Otherwise a leaked key could create a stronger one.
        if lacking := [scope for scope in scopes if scope not in own]:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "scope_exceeded",
                f"This API key lacks the scope {lacking[0]}, so it cannot grant it. Use a key that "
                "has it.",
                field=lacking[0],
            )
        seed = api_key_seed(call, call.customer_id)
        made = self.api_keys.new(scopes, now=self.changes.clock.now(), seed=seed)
        after = await self.changes.change(call, AddApiKey, api_key=made[1])
        key, stored = created_api_key(self.api_keys, after, made, seed)
        return Reply(
            ApiKeyCreated(id=stored.id, api_key=key, scopes=list(stored.scopes)), etag_of(after)
        )

    @_change_api_keys("DELETE", f"{_API_KEYS}/{{id}}", status=HTTPStatus.NO_CONTENT)
    async def revoke_api_key(self, call: Call) -> Reply:
        """Revoke an API key."""
        after = await self.changes.change(call, RemoveApiKey, key_id=call.part("id"))
        return Reply(headers=etag_of(after))

    @_change_public_keys(
        "POST",
        _PUBLIC_KEYS,
        status=HTTPStatus.CREATED,
        takes=PublicKeyCreate,
        returns=PublicKeyOut,
        problems={HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("key_too_long",)},
    )
    async def add_public_key(self, call: Call) -> Reply:
        """Add a public key. It becomes active, and the previous key becomes retiring.

        Deliveries in backoff are encrypted to the new key from their next attempt. The holder of
        the previous key receives `hookseal.key.changed`, encrypted to the previous key. A private
        key that is submitted by mistake is refused, and neither stored nor logged.
        """
        given = call.input_as(PublicKeyCreate).public_key
        key = parse_public_key(given if isinstance(given, str) else orjson.dumps(given))
        after = await self.changes.change(
            call, AddPublicKey, kid=key.kid, alg=key.alg, jwk=dict(key.jwk)
        )
        added = next((item for item in after.public_keys if item.kid == key.kid), None)
        if added is None:
            raise ConflictError("unknown_key", "The key was removed meanwhile. Add it again.")
        return Reply(public_key_out(added), etag_of(after))

    @Operation("GET", _PUBLIC_KEYS, "Public keys", returns=Keys)
    async def list_public_keys(self, call: Call) -> Reply:
        """List the public keys, in the order they were added."""
        tenant = await self.changes.tenant(call.customer_id)
        items = [public_key_out(key) for key in tenant.public_keys]
        return Reply(Keys(items=items), etag_of(tenant))

    @_change_public_keys("DELETE", f"{_PUBLIC_KEYS}/{{kid}}", status=HTTPStatus.NO_CONTENT)
    async def remove_public_key(self, call: Call) -> Reply:
        """Remove a public key. Without an active key, events are dead-lettered."""
        after = await self.changes.change(call, RemovePublicKey, kid=call.part("kid"))
        return Reply(headers=etag_of(after))


def public_key_out(key: PublicKey) -> PublicKeyOut:
    """Return the public key."""
    alg: Any = key.alg
    return PublicKeyOut(kid=key.kid, alg=alg, state=key.state, public_key=key.jwk)
