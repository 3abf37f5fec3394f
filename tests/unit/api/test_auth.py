"""Who may do what; 70 to 73 of the bad inputs in the threat model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hookseal.api.factory import operations_of
from hookseal.api.operations import Access
from hookseal.domain.tenant import SCOPES
from hookseal.errors import BrokerError
from tests.builders import public_key
from tests.unit.api.conftest import ADMIN_KEY

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant
    from tests.unit.api.conftest import Api

BODIES = {
    "createTenant": {"customer_id": "other"},
    "changeTenant": {"enabled": False},
    "addPublicKey": {"public_key": {**public_key().jwk}},
    "addEndpoint": {"url": "https://hooks.acme.com/", "event_types": ["*"]},
    "changeEndpoint": {"description": "other"},
}


def place(path: str, customer_id: str) -> str:
    return path.format(customer_id=customer_id, id="ep_1", kid="key-1", partition="0", offset="1")


class TestKeys:
    async def test_70_absent_unknown_and_revoked_have_one_answer(self, api: Api) -> None:
        api.tenant("acme")
        unknown, _ = api.api_keys.new(SCOPES, now=0.0)
        answers = set()
        for header in (None, "", "Bearer", "Bearer ", f"Basic {ADMIN_KEY}", "Bearer wha_no",
                       f"Bearer {unknown}", "Bearer \x80"):  # fmt: skip
            headers = {} if header is None else {"Authorization": header}
            response = await api.ask("GET", "/v1/tenants/acme", key=None, headers=headers)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            answers.add((response.status, await response.text()))

        assert len(answers) == 1
        assert answers.pop()[0] == 401

    async def test_70_a_mistyped_one_is_told_so(self, api: Api) -> None:
        key = api.tenant("acme")

        refused = await api.problem("GET", "/v1/tenants/acme", key=key[:-1])

        assert refused == (401, "api_key_malformed")

    async def test_is_taken_from_the_header_alone(self, api: Api) -> None:
        refused = await api.problem("GET", f"/v1/tenants?key={ADMIN_KEY}", key=None)

        assert refused == (401, "unauthorized")

    async def test_a_revoked_one_is_refused_at_once(self, api: Api) -> None:
        key = api.tenant("acme")
        key_id = api.model.held["acme"].api_keys[0].id

        revoked = await api.ask("DELETE", f"/v1/tenants/acme/api-keys/{key_id}", key=key)

        assert revoked.status == 204
        assert await api.problem("GET", "/v1/tenants/acme", key=key) == (401, "unauthorized")

    async def test_one_that_another_process_has_just_made_is_known(self, api: Api) -> None:
        key = api.tenant("acme")
        made: Tenant = api.model.held.pop("acme")
        api.model.before_settling = lambda: api.model.put("acme", made)

        assert (await api.ask("GET", "/v1/tenants/acme", key=key)).status == 200

    async def test_none_is_taken_while_revocations_may_be_missed(self, api: Api) -> None:
        key = api.tenant("acme")
        api.model.not_ready = BrokerError("tenants_recovering", "3 of 5 read.")
        assert await api.problem("GET", "/v1/tenants/acme", key=key) == (503, "tenants_recovering")

        api.model.not_ready = None
        api.model.settles_in_time = False
        unknown, _ = api.api_keys.new(SCOPES, now=0.0)
        assert await api.problem("GET", "/v1/tenants/acme", key=unknown) == (503, "not_ready")

    async def test_a_source_of_failures_is_slowed_and_valid_keys_are_not(self, api: Api) -> None:
        key = api.tenant("acme")
        unknown, _ = api.api_keys.new(SCOPES, now=0.0)

        statuses = [
            (await api.ask("GET", "/v1/tenants/acme", key=unknown)).status for _ in range(302)
        ]

        assert statuses == [401] * 300 + [429] * 2
        assert (await api.ask("GET", "/v1/tenants/acme", key=key)).status == 200
        api.clock.time += 61
        assert (await api.ask("GET", "/v1/tenants/acme", key=unknown)).status == 401


class TestScopes:
    async def test_71_one_that_lacks_is_named(self, api: Api) -> None:
        for operation in operations_of(api.parts):
            if operation.scope is None:
                continue
            api.model.held.clear()
            others = [scope for scope in SCOPES if scope != operation.scope]
            key = api.tenant("acme", *others)
            response = await api.ask(
                operation.method,
                place(operation.path, "acme"),
                BODIES.get(operation.name),
                key=key,
            )
            document = await response.json(content_type=None)
            assert (response.status, document["code"]) == (403, "scope_missing"), operation.name
            assert document["field"] == operation.scope

    async def test_what_is_the_operators_is_refused_to_tenants(self, api: Api) -> None:
        key = api.tenant("acme")
        for operation in operations_of(api.parts):
            if operation.access is Access.ADMIN:
                refused = await api.problem(
                    operation.method,
                    place(operation.path, "acme"),
                    BODIES.get(operation.name),
                    key=key,
                )
                assert refused == (403, "admin_only"), operation.name

    async def test_a_key_gives_none_that_it_lacks(self, api: Api) -> None:
        key = api.tenant("acme", "keys:write")

        refused = await api.problem(
            "POST", "/v1/tenants/acme/api-keys", {"scopes": ["replay"]}, key=key
        )
        made = await api.json("POST", "/v1/tenants/acme/api-keys", key=key)

        assert refused == (403, "scope_exceeded")
        assert made["scopes"] == ["keys:write"]


class TestForeignTenants:
    async def test_72_are_unknown_on_every_route(self, api: Api) -> None:
        api.tenant("acme")
        key = api.tenant("other")
        before = dict(api.model.held)
        asked = 0
        for operation in operations_of(api.parts):
            if "customer_id" not in operation.path_parts:
                continue
            body = BODIES.get(operation.name)
            foreign = await api.ask(operation.method, place(operation.path, "acme"), body, key=key)
            nobody = await api.ask(operation.method, place(operation.path, "nobody"), body, key=key)
            assert foreign.status == nobody.status == 404, operation.name
            assert await foreign.text() == await nobody.text()
            asked += 1

        assert asked >= 14
        assert api.model.held == before

    async def test_72_are_unknown_to_the_operator_where_there_are_none(self, api: Api) -> None:
        for operation in operations_of(api.parts):
            if "customer_id" in operation.path_parts:
                refused = await api.problem(
                    operation.method,
                    place(operation.path, "nobody"),
                    BODIES.get(operation.name),
                )
                assert refused == (404, "unknown_tenant"), operation.name


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "endpoints/ep_9", "unknown_endpoint"),
        ("PATCH", "endpoints/ep_9", "unknown_endpoint"),
        ("DELETE", "endpoints/ep_9", "unknown_endpoint"),
        ("POST", "endpoints/ep_9/rotate-secret", "unknown_endpoint"),
        ("POST", "endpoints/ep_9/test", "unknown_endpoint"),
        ("DELETE", "public-keys/none", "unknown_key"),
        ("DELETE", "api-keys/none", "unknown_api_key"),
    ],
)
async def test_73_what_the_tenant_does_not_have(
    api: Api, method: str, path: str, code: str
) -> None:
    key = api.tenant("acme")
    body = {"description": "x"} if method == "PATCH" else None

    assert await api.problem(method, f"/v1/tenants/acme/{path}", body, key=key) == (404, code)


async def test_the_admin_key_may_be_left_out(api: Api) -> None:
    await api.close()
    api.parts = replace(api.parts, admin_key=None)
    await api.start()

    for key in ("", "None", ADMIN_KEY):
        assert (await api.ask("GET", "/v1/tenants", key=key)).status == 401
