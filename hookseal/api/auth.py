"""Authenticates the `Authorization` header. Fails closed."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from hookseal.api.ports import wait_until_current
from hookseal.api.problems import Problem
from hookseal.seal.api_keys import TENANT_PREFIX, read_key, same_secret

if TYPE_CHECKING:
    from aiohttp import web

    from hookseal.api.ports import TenantsModel
    from hookseal.delivery.ports import Clock
    from hookseal.seal.api_keys import ApiKeys

# Failed authentications per client address and minute before the API answers 429. Keys have
# 256 bits, so this does not protect the keys: it limits the load of a broken client.
_FAILURES_MAX = 300
_WINDOW_S = 60.0
_SOURCES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of an API key, or of the admin key: without a customer id, with all scopes."""

    customer_id: str | None
    scopes: tuple[str, ...] = ()
    key_id: str = ""

    @property
    def id(self) -> str:
        """The key id, or `admin`, which is no key id: those have twelve characters."""
        return "admin" if self.is_admin else self.key_id

    @property
    def is_admin(self) -> bool:
        return self.customer_id is None

    def may(self, scope: str) -> bool:
        return self.is_admin or scope in self.scopes


ADMIN = Principal(None)


class Authentication:
    """Finds the principal of a request."""

    def __init__(
        self, *, model: TenantsModel, api_keys: ApiKeys, admin_key: str | None, clock: Clock
    ) -> None:
        self._model = model
        self._api_keys = api_keys
        self._admin_key = admin_key
        self._clock = clock
        self._failures: OrderedDict[tuple[int, str], int] = OrderedDict()

    async def principal(self, request: web.Request) -> Principal:
        """Return the principal of the request.

        Raises:
            HooksealError: A key may have been revoked since the tenants were last read.
            Problem: 401 `unauthorized`, `api_key_malformed`; 429 `too_many_failures`; 503
                `not_ready`.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credentials.strip():
            raise _unauthorized()
        source = request.remote or ""
        found = await self._find(credentials.strip(), source)
        if found is None:
            self._count_failure(source)
            raise _unauthorized()
        return found

    async def _find(self, credentials: str, source: str) -> Principal | None:
        if not credentials.startswith(TENANT_PREFIX):
            is_admin = self._admin_key is not None and same_secret(credentials, self._admin_key)
            return ADMIN if is_admin else None
        key = read_key(credentials)
        if key is None:
            self._count_failure(source)
            raise _unauthorized(
                "api_key_malformed", "The API key is truncated or mistyped. Copy the whole key."
            )
        if reason := self._model.why_not_ready():
            # A key that another process revoked would still be accepted.
            raise reason
        customer_id = self._model.customer_of(key.id)
        if customer_id is None and not self._too_many_failures(source):
            await wait_until_current(self._model)
            customer_id = self._model.customer_of(key.id)
        tenant = None if customer_id is None else self._model.get(customer_id)
        stored = None if tenant is None else tenant.api_key(key.id)
        if not self._api_keys.fits(key, stored) or tenant is None or stored is None:
            return None
        return Principal(tenant.customer_id, stored.scopes, key.id)

    def _too_many_failures(self, source: str) -> bool:
        return self._failures.get(self._window_of(source), 0) >= _FAILURES_MAX

    def _count_failure(self, source: str) -> None:
        """Count a failed authentication; raise 429 `too_many_failures`."""
        if self._too_many_failures(source):
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too_many_failures",
                f"More than {_FAILURES_MAX} requests of this address within {_WINDOW_S:.0f} s had "
                "no valid key. Check the key, then retry.",
                headers={"Retry-After": str(int(_WINDOW_S))},
            )
        window = self._window_of(source)
        self._failures[window] = self._failures.pop(window, 0) + 1
        if len(self._failures) > _SOURCES_MAX:
            self._failures.popitem(last=False)

    def _window_of(self, source: str) -> tuple[int, str]:
        return int(self._clock.now() // _WINDOW_S), source


def _unauthorized(
    code: str = "unauthorized", detail: str = "Send a valid key as `Authorization: Bearer <key>`."
) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        code,
        detail,
        headers={"WWW-Authenticate": 'Bearer realm="hookseal"'},
    )
