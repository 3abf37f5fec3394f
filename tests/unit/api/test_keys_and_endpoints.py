"""What a tenant sets up for itself; bad inputs by their numbers in the threat model."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.domain.command import ResumeEndpoint
from hookseal.domain.endpoint import Suspension
from hookseal.domain.tenant import RECENT_COMMANDS
from hookseal.seal.keys import MAX_BYTES, parse_public_key
from tests.bad_inputs import headers, keys, urls
from tests.builders import a_tenant, an_endpoint
from tests.public_keys import private
from tests.sealed import vectors
from tests.unit.api.conftest import OWN_HOST

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

ENDPOINT = {"url": "https://hooks.acme.com/in", "event_types": ["order.*"]}


def numbered(table: dict[int, list[Any]]) -> list[Any]:
    """One row for each number."""
    return [pytest.param(*rows[0][-2:], id=f"{number:02}") for number, rows in table.items()]


class TestPublicKeys:
    async def test_of_each_kind_are_taken_as_pem_and_as_jwk(self, api: Api) -> None:
        for name in ("rsa-2048", "rsa-4096", "p256", "x25519"):
            vector = vectors()[name]
            for given in (vector.public_pem.decode(), vector.public_jwk):
                key = api.tenant("acme", public_keys=())
                made = await api.json(
                    "POST", "/v1/tenants/acme/public-keys", {"public_key": given}, key=key
                )
                assert made["state"] == "active"
                assert made["alg"] == ("RSA-OAEP-256" if name.startswith("rsa") else "ECDH-ES")
                assert made["kid"] == parse_public_key(vector.public_pem).kid
                api.model.held.clear()

    async def test_one_is_active_and_those_before_it_retire(self, api: Api) -> None:
        key = api.tenant("acme")
        body = {"public_key": vectors()["p256"].public_jwk}

        await api.json("POST", "/v1/tenants/acme/public-keys", body, key=key)

        listed = await api.json("GET", "/v1/tenants/acme/public-keys", key=key)
        assert [item["state"] for item in listed["items"]] == ["retiring", "active"]
        assert listed["next_cursor"] is None
        path = f"/v1/tenants/acme/public-keys/{listed['items'][0]['kid']}"
        assert (await api.ask("DELETE", path, key=key)).status == 204

    async def test_52_the_same_one_twice(self, api: Api) -> None:
        key = api.tenant("acme", public_keys=())
        body = {"public_key": vectors()["p256"].public_jwk}
        await api.json("POST", "/v1/tenants/acme/public-keys", body, key=key)

        refused = await api.problem("POST", "/v1/tenants/acme/public-keys", body, key=key)

        assert refused == (409, "key_exists")

    @pytest.mark.parametrize(("text", "code"), numbered(keys.CASES))
    async def test_bad_ones(self, api: Api, text: str | bytes, code: str) -> None:
        given = text if isinstance(text, str) else text.decode("latin-1")
        key = api.tenant("acme", public_keys=())

        status, said = await api.problem(
            "POST", "/v1/tenants/acme/public-keys", {"public_key": given}, key=key
        )

        expected = "key_not_for_encryption" if code == "sign" else code
        assert (status, said) == (413 if expected == "key_too_long" else 422, expected)
        assert api.changes.submitted == []

    async def test_51_over_16_kib(self, api: Api) -> None:
        key = api.tenant("acme", public_keys=())
        body = {"public_key": "x" * (MAX_BYTES + 1)}

        refused = await api.problem("POST", "/v1/tenants/acme/public-keys", body, key=key)

        assert refused == (413, "key_too_long")

    async def test_42_a_private_key_goes_nowhere(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        key = api.tenant("acme", public_keys=())
        secret = private().decode()
        body = {"public_key": vectors()["p256"].public_pem.decode() + secret}

        response = await api.ask("POST", "/v1/tenants/acme/public-keys", body, key=key)

        assert response.status == 422
        middle = secret.splitlines()[2]
        assert middle not in await response.text()
        assert middle not in caplog.text
        assert api.changes.submitted == []


class TestEndpoints:
    async def test_are_added_with_a_secret_that_is_shown_this_once(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=())

        response = await api.ask("POST", "/v1/tenants/acme/endpoints", ENDPOINT, key=key)

        made = await response.json()
        assert response.status == 201
        assert made["signing_secret"].startswith("whsec_")
        assert made["signing_secret"] == api.secrets.show("acme", made["id"], 1)
        shown = await api.json("GET", response.headers["Location"], key=key)
        assert shown == {name: made[name] for name in made if name != "signing_secret"}
        listed = await api.json("GET", "/v1/tenants/acme/endpoints", key=key)
        assert listed == {"items": [shown], "next_cursor": None}

    async def test_whoever_adds_one_may_choose_its_id(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=())
        path, body = "/v1/tenants/acme/endpoints", {**ENDPOINT, "id": "Orders_1-a"}

        made = await api.json("POST", path, body, key=key)

        assert made["id"] == "Orders_1-a"
        assert made["signing_secret"] == api.secrets.show("acme", "Orders_1-a", 1)
        assert await api.problem("POST", path, body, key=key) == (409, "endpoint_exists")

    @pytest.mark.parametrize("endpoint_id", ["", "a b", "x" * 65, "ep_1\n", "a/b", "\u00e9"])
    async def test_an_id_that_is_none_is_refused(self, api: Api, endpoint_id: str) -> None:
        key = api.tenant("acme")
        body = {**ENDPOINT, "id": endpoint_id}

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints", body, key=key)

        assert refused == (422, "endpoint_id_invalid")
        assert api.changes.submitted == []

    async def test_adding_one_again_adds_none(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=())
        again = {"key": key, "headers": {"Idempotency-Key": '"a b"'}}

        first = await api.json("POST", "/v1/tenants/acme/endpoints", ENDPOINT, **again)
        second = await api.json("POST", "/v1/tenants/acme/endpoints", ENDPOINT, **again)

        assert first == second
        assert len(api.model.held["acme"].endpoints) == 1

    async def test_are_changed_field_by_field(self, api: Api) -> None:
        key = api.tenant("acme")
        change = partial(api.json, "PATCH", "/v1/tenants/acme/endpoints/ep_1", key=key)

        await change({"event_types": ["invoice.paid"], "retry_delays_s": [1, 2]})
        await change({"headers": {"X-Team": "billing"}})
        shown = await change({"enabled": False, "retry_delays_s": None})

        assert shown["event_types"] == ["invoice.paid"]
        assert shown["headers"] == {"X-Team": "billing"}
        assert (shown["enabled"], shown["disabled_reason"]) == (False, "asked")
        assert shown["retry_delays_s"] is None
        assert shown["url"] == an_endpoint().url
        refused = await api.problem("PATCH", "/v1/tenants/acme/endpoints/ep_1", {}, key=key)
        assert refused == (422, "nothing_to_change")

    async def test_have_an_ordering_mode_of_their_own_or_the_operators(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=())
        body = {**ENDPOINT, "id": "ep_1", "ordering": "key"}
        change = partial(api.json, "PATCH", "/v1/tenants/acme/endpoints/ep_1", key=key)

        added = await api.json("POST", "/v1/tenants/acme/endpoints", body, key=key)
        changed = await change({"ordering": "unordered"})
        kept = await change({"description": "x"})
        restored = await change({"ordering": None})

        shown = [one["ordering"] for one in (added, changed, kept, restored)]
        assert shown == ["key", "unordered", "unordered", None]

    async def test_may_not_retry_for_longer_than_the_operator_allows(self, api: Api) -> None:
        key = api.tenant("acme")
        body = {"retry_delays_s": [100, 100, 100.5]}

        response = await api.ask("PATCH", "/v1/tenants/acme/endpoints/ep_1", body, key=key)
        problem = await response.json()

        assert (response.status, problem["code"]) == (422, "retry_delays_too_long")
        assert problem["field"] == "retry_delays_s"
        assert "300 s (HOOKSEAL_ENDPOINT_RETRY_MAX_S)" in problem["detail"]
        body = {"retry_delays_s": [100, 100, 100]}
        assert await api.json("PATCH", "/v1/tenants/acme/endpoints/ep_1", body, key=key)

    async def test_a_header_s_value_is_shown_to_whoever_may_set_it(self, api: Api) -> None:
        endpoint = an_endpoint(headers={"X-Token": "s3cret"})
        writer = api.tenant("acme", "endpoints:write", endpoints=(endpoint,))
        publisher = api.tenant("acme", "events:write")

        for path in ("", "/endpoints", "/endpoints/ep_1"):
            masked = await (await api.ask("GET", f"/v1/tenants/acme{path}", key=publisher)).text()
            shown = await (await api.ask("GET", f"/v1/tenants/acme{path}", key=writer)).text()
            assert "s3cret" not in masked
            assert "s3cret" in shown

    async def test_a_rotated_secret_overlaps_for_a_day(self, api: Api) -> None:
        key = api.tenant("acme")

        rotated = await api.json("POST", "/v1/tenants/acme/endpoints/ep_1/rotate-secret", key=key)

        endpoint = api.model.held["acme"].endpoints[0]
        assert rotated["signing_secret"] == api.secrets.show("acme", "ep_1", 2)
        assert endpoint.secret_versions(api.clock.now() + 86_399) == (2, 1)
        assert endpoint.secret_versions(api.clock.now() + 86_401) == (2,)

    @pytest.mark.parametrize("overlap_s", [0, 60, 604_800])
    async def test_the_overlap_may_be_chosen(self, api: Api, overlap_s: int) -> None:
        key = api.tenant("acme")
        path = "/v1/tenants/acme/endpoints/ep_1/rotate-secret"

        await api.json("POST", path, {"overlap_s": overlap_s}, key=key)

        (endpoint,) = api.model.held["acme"].endpoints
        assert endpoint.previous_secret_until == api.clock.now() + overlap_s

    @pytest.mark.parametrize("overlap_s", [-1, 604_801, "60", None])
    async def test_an_overlap_out_of_bounds_is_refused(self, api: Api, overlap_s: Any) -> None:
        key = api.tenant("acme")
        path = "/v1/tenants/acme/endpoints/ep_1/rotate-secret"

        refused = await api.problem("POST", path, {"overlap_s": overlap_s}, key=key)

        assert refused == (422, "field_invalid")
        assert api.changes.submitted == []

    async def test_rotating_again_under_the_same_key_rotates_once(self, api: Api) -> None:
        key = api.tenant("acme")
        rotate = partial(
            api.json,
            "POST",
            "/v1/tenants/acme/endpoints/ep_1/rotate-secret",
            key=key,
            headers={"Idempotency-Key": "r"},
        )

        assert await rotate() == await rotate()
        assert api.model.held["acme"].endpoints[0].secret_version == 2

    async def test_limits_are_set_replaced_and_dropped(self, api: Api) -> None:
        key = api.tenant("acme", endpoints=())
        none = {"concurrency": None, "rate_per_s": None, "timeout_s": None}
        body = {**ENDPOINT, "id": "ep_1", "limits": {"rate_per_s": 10, "timeout_s": 5}}
        path = "/v1/tenants/acme/endpoints/ep_1"

        made = await api.json("POST", "/v1/tenants/acme/endpoints", body, key=key)
        replaced = await api.json("PATCH", path, {"limits": {"concurrency": 4}}, key=key)
        untouched = await api.json("PATCH", path, {"description": "x"}, key=key)
        dropped = await api.json("PATCH", path, {"limits": {}}, key=key)

        assert made["limits"] == {**none, "rate_per_s": 10, "timeout_s": 5}
        assert replaced["limits"] == untouched["limits"] == {**none, "concurrency": 4}
        assert dropped["limits"] == none

    @pytest.mark.parametrize(
        "limits",
        [
            {"concurrency": 0},
            {"concurrency": 1.5},
            {"concurrency": 1001},
            {"rate_per_s": 0},
            {"rate_per_s": -1},
            {"rate_per_s": 1e9},
            {"timeout_s": 0},
            {"timeout_s": 121},
            {"burst": 5},
            [],
            None,
        ],
        ids=str,
    )
    async def test_limits_that_are_none_are_refused(self, api: Api, limits: Any) -> None:
        key = api.tenant("acme")

        for method, path, body in (
            ("POST", "/v1/tenants/acme/endpoints", {**ENDPOINT, "limits": limits}),
            ("PATCH", "/v1/tenants/acme/endpoints/ep_1", {"limits": limits}),
        ):
            status, code = await api.problem(method, path, body, key=key)
            assert (status, code) in ((422, "field_invalid"), (422, "field_unknown"))
        assert api.changes.submitted == []

    async def test_of_a_suspended_one_is_told_and_asked_to_resume(self, api: Api) -> None:
        endpoint = an_endpoint(suspension=Suspension(1_700_000_000.0, "behind", "a-worker", 7))
        key = api.tenant("acme", endpoints=(endpoint,))

        shown = await api.json("GET", "/v1/tenants/acme/endpoints/ep_1", key=key)
        resumed = await api.json("POST", "/v1/tenants/acme/endpoints/ep_1/resume", key=key)

        assert shown == resumed
        assert shown["state"] == "suspended"
        assert shown["suspended_since"] == "2023-11-14T22:13:20Z"
        assert shown["suspended_because"] == "behind"
        assert "a-worker" not in str(shown)
        (command,) = api.changes.submitted
        assert isinstance(command, ResumeEndpoint)

    async def test_one_that_is_not_suspended_is_not_resumed(self, api: Api) -> None:
        key = api.tenant("acme")

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints/ep_1/resume", key=key)

        assert refused == (409, "endpoint_not_suspended")

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", "endpoints/ep_2", None, 200),
            ("PATCH", "endpoints/ep_2", {"description": "new"}, 200),
            ("POST", "endpoints/ep_2/rotate-secret", {}, 200),
            ("POST", "endpoints/ep_2/resume", None, 409),
            ("POST", "endpoints/ep_2/test", None, 202),
            ("GET", "deliveries?endpoint_id=ep_2", None, 200),
            ("GET", "dead-letters?endpoint_id=ep_2", None, 200),
        ],
    )
    async def test_one_that_another_process_has_just_added_is_known(
        self, api: Api, method: str, path: str, body: Any, status: int
    ) -> None:
        api.tenant("acme")
        more = a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2"))
        api.model.before_settling = lambda: api.model.put("acme", more)

        assert (await api.ask(method, f"/v1/tenants/acme/{path}", body)).status == status

    @pytest.mark.parametrize(
        "path", ["acme/endpoints/ep_2", "other", "acme/deliveries?endpoint_id=ep_2"]
    )
    async def test_that_there_is_none_is_not_said_while_it_cannot_be_known(
        self, api: Api, path: str
    ) -> None:
        api.tenant("acme")
        api.model.settles_in_time = False

        assert await api.problem("GET", f"/v1/tenants/{path}") == (503, "not_ready")

    async def test_one_that_there_is_not_is_not_resumed(self, api: Api) -> None:
        key = api.tenant("acme")

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints/ep_9/resume", key=key)

        assert refused == (404, "unknown_endpoint")

    async def test_a_test_event_is_for_this_one_alone(self, api: Api) -> None:
        key = api.tenant("acme")

        response = await api.ask("POST", "/v1/tenants/acme/endpoints/ep_1/test", key=key)

        assert response.status == 202
        (notice,) = api.events.notices
        assert notice.event_id == (await response.json())["id"]
        assert ("hookseal-endpoint-id", b"ep_1") in notice.headers

    async def test_are_removed(self, api: Api) -> None:
        key = api.tenant("acme")

        removed = await api.ask("DELETE", "/v1/tenants/acme/endpoints/ep_1", key=key)

        assert removed.status == 204
        assert api.model.held["acme"].endpoints == ()

    @pytest.mark.parametrize(
        ("url", "code"),
        [row for row in numbered(urls.REFUSED) if row.id != "26"],
    )
    async def test_bad_urls(self, api: Api, url: str, code: str) -> None:
        key = api.tenant("acme")
        for method, path, body in (
            ("POST", "endpoints", {**ENDPOINT, "url": url}),
            ("PATCH", "endpoints/ep_1", {"url": url}),
        ):
            refused = await api.problem(method, f"/v1/tenants/acme/{path}", body, key=key)
            assert refused == (422, code)
        assert api.changes.submitted == []

    async def test_26_our_own_host(self, api: Api) -> None:
        key = api.tenant("acme")
        body = {**ENDPOINT, "url": f"https://{OWN_HOST}/v1/events"}

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints", body, key=key)

        assert refused == (422, "url_self")

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            pytest.param(headers.BAD_NAMES[67][0], "a", "header_name", id="67"),
            pytest.param("X-A", headers.BAD_VALUES[68][0], "header_value", id="68"),
            pytest.param(headers.RESERVED[69][0], "a", "header_reserved", id="69"),
        ],
    )
    async def test_bad_headers(self, api: Api, name: str, value: str, code: str) -> None:
        key = api.tenant("acme")
        body = {**ENDPOINT, "headers": {name: value}}

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints", body, key=key)

        assert refused == (422, code)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"event_types": []}, "event_types_invalid"),
            ({"event_types": ["a*"]}, "event_types_invalid"),
            ({"retry_delays_s": [-1]}, "retry_delays_invalid"),
            ({"retry_delays_s": [1] * 51}, "retry_delays_invalid"),
            ({"retry_delays_s": [3600] * 50}, "retry_delays_too_long"),
            ({"ordering": "customer"}, "field_invalid"),
            ({"ordering": "partition"}, "field_invalid"),
            ({"description": "x" * 1001}, "field_invalid"),
            ({"url": 1}, "field_invalid"),
            ({"headers": {"X-A": 1}}, "field_invalid"),
            ({"colour": "red"}, "field_unknown"),
        ],
    )
    async def test_other_bad_fields(self, api: Api, change: dict[str, Any], code: str) -> None:
        key = api.tenant("acme")

        added = await api.problem(
            "POST", "/v1/tenants/acme/endpoints", {**ENDPOINT, **change}, key=key
        )
        changed = await api.problem("PATCH", "/v1/tenants/acme/endpoints/ep_1", change, key=key)

        assert added == changed == (422, code)

    async def test_fifty_at_most(self, api: Api) -> None:
        endpoints = tuple(an_endpoint(f"ep_{number}") for number in range(50))
        key = api.tenant("acme", endpoints=endpoints)

        refused = await api.problem("POST", "/v1/tenants/acme/endpoints", ENDPOINT, key=key)

        assert refused == (409, "too_many_endpoints")


class TestBodies:
    @pytest.mark.parametrize(
        ("data", "status", "code"),
        [
            pytest.param(b'{"customer_id": NaN}', 422, "json_invalid", id="54"),
            pytest.param(b'{"customer_id": "\xff"}', 422, "json_invalid_utf8", id="56"),
            pytest.param(b'{"customer_id": "\\ud800"}', 422, "json_invalid", id="57"),
            pytest.param(b"[" * 65 + b"]" * 65, 422, "json_too_deep", id="58"),
            pytest.param(b'{"customer_id": "a",}', 422, "json_invalid", id="60 comma"),
            pytest.param(b"{}{}", 422, "json_invalid", id="60 two"),
            pytest.param(b"", 422, "body_empty", id="60 empty"),
            pytest.param(b"[]", 422, "body_not_object", id="61"),
            pytest.param(b'{"name":"' + b"x" * 65_536 + b'"}', 413, "body_too_large", id="62"),
            pytest.param(b"{}", 422, "field_missing", id="missing"),
        ],
    )
    async def test_bad_json(self, api: Api, data: bytes, status: int, code: str) -> None:
        assert await api.problem("POST", "/v1/tenants", data=data) == (status, code)

    async def test_62_a_body_of_unknown_length(self, api: Api) -> None:
        async def endless() -> Any:
            while True:
                yield b" " * 65_536

        async with api._client.post(
            "/v1/tenants",
            data=endless(),
            headers={
                "Authorization": "Bearer wha_of_the_tests",
                "Content-Type": "application/json",
            },
        ) as response:
            assert response.status == 413

    @pytest.mark.parametrize(
        ("sent", "code"),
        [
            pytest.param(
                {"Content-Encoding": "gzip", "Content-Type": "application/json"},
                "content_encoding_unsupported",
                id="63",
            ),
            pytest.param({"Content-Type": "text/plain"}, "content_type_unsupported", id="64"),
            pytest.param(
                {"Content-Type": "application/x-www-form-urlencoded"},
                "content_type_unsupported",
                id="64 form",
            ),
        ],
    )
    async def test_other_media(self, api: Api, sent: dict[str, str], code: str) -> None:
        data = json.dumps({"customer_id": "acme"}).encode()

        refused = await api.problem("POST", "/v1/tenants", data=data, headers=sent)

        assert refused == (415, code)

    async def test_a_customer_id_is_one(self, api: Api) -> None:
        for customer_id in (" acme", "a\nb", "x" * 129, ""):
            status, code = await api.problem("POST", "/v1/tenants", {"customer_id": customer_id})
            assert status == 422
            assert code in ("customer_id_invalid", "field_invalid")

    async def test_nothing_is_here(self, api: Api) -> None:
        assert await api.problem("GET", "/v2") == (404, "not_found")
        assert await api.problem("PUT", "/v1/tenants") == (405, "method_not_allowed")


class TestPrincipals:
    async def test_a_repeat_by_another_key_gets_nothing_of_the_first_request(
        self, api: Api
    ) -> None:
        weak = api.tenant("acme", "keys:write")
        headers = {"Idempotency-Key": "one"}
        path = "/v1/tenants/acme/api-keys"
        await api.json("POST", path, {}, headers=headers)

        response = await api.ask("POST", path, {}, key=weak, headers=headers)

        assert response.status == 409
        assert "whk_live_" not in await response.text()

    async def test_events_of_two_keys_with_one_idempotency_key_are_two(self, api: Api) -> None:
        first, second = api.tenant("acme"), api.tenant("acme")
        event = {"type": "order.paid", "data": 1}

        ids = {
            (
                await api.json(
                    "POST", "/v1/events", event, key=key, headers={"Idempotency-Key": "one"}
                )
            )["id"]
            for key in (first, first, second)
        }

        assert len(ids) == 2

    async def test_a_revoked_key_never_returns(self, api: Api) -> None:
        api.tenant("acme")
        headers = {"Idempotency-Key": "one"}
        path = "/v1/tenants/acme/api-keys"
        made = await api.json("POST", path, {}, headers=headers)
        repeated = await api.json("POST", path, {}, headers=headers)
        assert repeated == made
        assert (await api.ask("DELETE", f"{path}/{made['id']}")).status == 204
        refused = await api.problem("POST", path, {}, headers=headers)
        assert refused == (404, "unknown_api_key")
        for _ in range(RECENT_COMMANDS):
            await api.json("PATCH", "/v1/tenants/acme", {"enabled": True})

        again = await api.json("POST", path, {}, headers=headers)

        assert again["api_key"] != made["api_key"]
        refused = await api.problem("GET", "/v1/tenants/acme", key=made["api_key"])
        assert refused == (401, "unauthorized")
        assert (await api.ask("GET", "/v1/tenants/acme", key=again["api_key"])).status == 200

    @pytest.mark.parametrize("path", ["", "/endpoints", "/endpoints/ep_1"])
    async def test_urls_are_masked_without_the_scope_to_set_them(self, api: Api, path: str) -> None:
        secret = "https://hooks.acme.com:8443/T0/secret?token=secret"
        endpoint = an_endpoint(url=secret)
        reader = api.tenant("acme", "events:write", endpoints=(endpoint,))
        writer = api.tenant("acme", "endpoints:write")

        masked = await api.ask("GET", f"/v1/tenants/acme{path}", key=reader)
        whole = await api.ask("GET", f"/v1/tenants/acme{path}", key=writer)

        assert '"https://hooks.acme.com:8443/***"' in await masked.text()
        assert "secret?" not in await masked.text()
        assert secret in await whole.text()
