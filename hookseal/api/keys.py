"""Routes of a tenant's API keys and public keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import orjson
from msgspec import UNSET

from hookseal.api.commands import command_id, etag_of, idempotency_key
from hookseal.api.operations import Operation, Reply
from hookseal.api.problems import Problem
from hookseal.api.schemas import ApiKeyCreate, ApiKeyCreated, Keys, PublicKeyCreate, PublicKeyOut
from hookseal.api.serializers import shown_key
from hookseal.domain.command import AddApiKey, AddPublicKey, RemoveApiKey, RemovePublicKey
from hookseal.domain.tenant import SCOPES, check_scopes
from hookseal.errors import ConflictError
from hookseal.seal.keys import parse_public_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.delivery.ports import Clock
    from hookseal.seal.api_keys import ApiKeys

_API = "API keys"
_PUBLIC = "Public keys"
_SCOPE = "keys:write"


class KeyOperations:
    """`/v1/tenants/{c}/api-keys` and `/v1/tenants/{c}/public-keys`."""

    def __init__(self, *, changes: TenantChanges, api_keys: ApiKeys, clock: Clock) -> None:
        self._changes = changes
        self._api_keys = api_keys
        self._clock = clock

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "POST",
                "/v1/tenants/{customer_id}/api-keys",
                "createApiKey",
                "Make an API key; it is shown this once. A tenant has at most two.",
                _API,
                self._add_api_key,
                scope=_SCOPE,
                status=HTTPStatus.CREATED,
                takes=ApiKeyCreate,
                returns=ApiKeyCreated,
                changes=True,
            ),
            Operation(
                "DELETE",
                "/v1/tenants/{customer_id}/api-keys/{id}",
                "revokeApiKey",
                "Revoke an API key.",
                _API,
                self._remove_api_key,
                scope=_SCOPE,
                status=HTTPStatus.NO_CONTENT,
                changes=True,
            ),
            Operation(
                "POST",
                "/v1/tenants/{customer_id}/public-keys",
                "addPublicKey",
                "Seal to this key from now on; the one before it is retiring.",
                _PUBLIC,
                self._add_public_key,
                scope=_SCOPE,
                status=HTTPStatus.CREATED,
                takes=PublicKeyCreate,
                returns=PublicKeyOut,
                problems={HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("key_too_long",)},
                changes=True,
                description=(
                    "What waits in backoff is sealed to the new key from its next attempt on. "
                    "Whoever holds the key before it is sent `hookseal.key.changed`, sealed to "
                    "that key. A private key that is sent by mistake is refused, and neither "
                    "stored nor logged."
                ),
            ),
            Operation(
                "GET",
                "/v1/tenants/{customer_id}/public-keys",
                "listPublicKeys",
                "List the public keys, in the order they were added.",
                _PUBLIC,
                self._list_public_keys,
                returns=Keys,
            ),
            Operation(
                "DELETE",
                "/v1/tenants/{customer_id}/public-keys/{kid}",
                "removePublicKey",
                "Forget a public key. Without an active one events are dead-lettered.",
                _PUBLIC,
                self._remove_public_key,
                scope=_SCOPE,
                status=HTTPStatus.NO_CONTENT,
                changes=True,
            ),
        )

    async def _add_api_key(self, call: Call) -> Reply:
        asked = call.body_as(ApiKeyCreate).scopes
        own = SCOPES if call.principal.is_admin else call.principal.scopes
        scopes = own if asked is UNSET else check_scopes(asked)
        _check_granted(scopes, own)
        await self._changes.tenant(call.customer_id)
        known_as = command_id(call, call.customer_id)
        key, stored = self._api_keys.new(
            scopes,
            now=self._clock.now(),
            seed=None if idempotency_key(call) is None else (call.customer_id, known_as),
        )
        after = await self._changes.changed(
            self._changes.command(
                call, AddApiKey, call.customer_id, known_as=known_as, api_key=stored
            )
        )
        return Reply(
            ApiKeyCreated(id=stored.id, api_key=key, scopes=list(stored.scopes)), etag_of(after)
        )

    async def _remove_api_key(self, call: Call) -> Reply:
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(
            self._changes.command(call, RemoveApiKey, call.customer_id, key_id=call.part("id"))
        )
        return Reply(headers=etag_of(after))

    async def _add_public_key(self, call: Call) -> Reply:
        given = call.body_as(PublicKeyCreate).public_key
        key = parse_public_key(given if isinstance(given, str) else orjson.dumps(given))
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(
            self._changes.command(
                call, AddPublicKey, call.customer_id, kid=key.kid, alg=key.alg, jwk=dict(key.jwk)
            )
        )
        added = next((item for item in after.public_keys if item.kid == key.kid), None)
        if added is None:
            raise ConflictError("unknown_key", "The key was removed again meanwhile.")
        return Reply(shown_key(added), etag_of(after))

    async def _list_public_keys(self, call: Call) -> Reply:
        tenant = await self._changes.tenant(call.customer_id)
        return Reply(Keys(items=[shown_key(key) for key in tenant.public_keys]), etag_of(tenant))

    async def _remove_public_key(self, call: Call) -> Reply:
        await self._changes.tenant(call.customer_id)
        after = await self._changes.changed(
            self._changes.command(call, RemovePublicKey, call.customer_id, kid=call.part("kid"))
        )
        return Reply(headers=etag_of(after))


def _check_granted(scopes: tuple[str, ...], own: tuple[str, ...]) -> None:
    # Otherwise a leaked key could create a stronger one.
    lacking = [scope for scope in scopes if scope not in own]
    if lacking:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            "scope_exceeded",
            "A key can give others no scope that it lacks itself.",
            field=lacking[0],
        )
