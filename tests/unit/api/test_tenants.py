from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from tests.builders import a_tenant

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api


class TestCreating:
    async def test_answers_with_the_first_api_key(self, api: Api) -> None:
        response = await api.ask("POST", "/v1/tenants", {"customer_id": "acme", "name": "Acme"})

        made = await response.json()
        assert response.status == 201
        assert made.keys() == {"customer_id", "api_key"}
        assert response.headers["Location"] == "/v1/tenants/acme"
        assert response.headers["ETag"] == '"1"'
        assert response.headers["Cache-Control"] == "no-store"
        shown = await api.json("GET", "/v1/tenants/acme", key=made["api_key"])
        assert (shown["name"], shown["enabled"], shown["revision"]) == ("Acme", True, 1)

    async def test_shows_the_key_this_once(self, api: Api) -> None:
        made = await api.json("POST", "/v1/tenants", {"customer_id": "acme"})

        shown = await (await api.ask("GET", "/v1/tenants/acme")).text()

        secret = made["api_key"].rpartition("_")[2]
        assert secret not in shown
        assert "digest" not in shown

    async def test_there_is_one_of_each(self, api: Api) -> None:
        api.tenant("acme")

        refused = await api.problem("POST", "/v1/tenants", {"customer_id": "acme"})

        assert refused == (409, "tenant_exists")

    async def test_again_with_the_same_key_answers_the_same(self, api: Api) -> None:
        again = {"headers": {"Idempotency-Key": "one"}}

        first = await api.json("POST", "/v1/tenants", {"customer_id": "acme"}, **again)
        second = await api.json("POST", "/v1/tenants", {"customer_id": "acme"}, **again)

        assert first == second
        assert api.model.held["acme"].revision == 1

    async def test_an_idempotency_key_stands_for_one_request(self, api: Api) -> None:
        again = {"headers": {"Idempotency-Key": "one"}}
        await api.json("POST", "/v1/tenants", {"customer_id": "acme"}, **again)

        other = {"customer_id": "acme", "name": "Other"}
        refused = await api.problem("POST", "/v1/tenants", other, **again)

        assert refused == (409, "idempotency_key_reused")

    async def test_any_customer_id_has_its_place(self, api: Api) -> None:
        customer_id = "a/b c?d#é"
        response = await api.ask("POST", "/v1/tenants", {"customer_id": customer_id})

        assert response.status == 201
        shown = await api.json("GET", response.headers["Location"])
        assert shown["customer_id"] == customer_id


class TestListing:
    async def test_goes_page_by_page(self, api: Api) -> None:
        for number in range(5):
            api.tenant(f"c{number}")

        pages, cursor = [], ""
        while True:
            page = await api.json("GET", f"/v1/tenants?limit=2{cursor}")
            pages.append([item["customer_id"] for item in page["items"]])
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"

        assert pages == [["c0", "c1"], ["c2", "c3"], ["c4"]]

    async def test_says_which_parameter_is_wrong(self, api: Api) -> None:
        for query, code in (
            ("limit=0", "field_invalid"),
            ("limit=x", "field_invalid"),
            ("limit=1001", "field_invalid"),
            ("cursor=%21", "cursor_invalid"),
            ("page=1", "field_unknown"),
            ("limit=1&limit=2", "field_invalid"),
        ):
            assert await api.problem("GET", f"/v1/tenants?{query}") == (422, code)


class TestChanging:
    async def test_switches_the_tenant(self, api: Api) -> None:
        api.tenant("acme")

        off = await api.json("PATCH", "/v1/tenants/acme", {"enabled": False})
        on = await api.json("PATCH", "/v1/tenants/acme", {"enabled": True})

        assert (off["enabled"], on["enabled"]) == (False, True)

    async def test_honours_the_revision_it_was_read_at(self, api: Api) -> None:
        api.tenant("acme")
        read = await api.ask("GET", "/v1/tenants/acme")
        match = {"If-Match": read.headers["ETag"]}

        first = await api.ask("PATCH", "/v1/tenants/acme", {"enabled": False}, headers=match)
        second = await api.problem("PATCH", "/v1/tenants/acme", {"enabled": True}, headers=match)

        assert first.status == 200
        assert first.headers["ETag"] == '"2"'
        assert second == (409, "revision_conflict")
        anything = {"headers": {"If-Match": "*"}}
        assert (await api.json("PATCH", "/v1/tenants/acme", {"enabled": True}, **anything))[
            "enabled"
        ]

    async def test_refuses_preconditions_that_are_none(self, api: Api) -> None:
        api.tenant("acme")
        for name, value, code in (
            ("If-Match", "3", "if_match_invalid"),
            ("If-Match", 'W/"3"', "if_match_invalid"),
            ("Idempotency-Key", "", "idempotency_key_invalid"),
            ("Idempotency-Key", "x" * 256, "idempotency_key_invalid"),
        ):
            refused = await api.problem(
                "PATCH", "/v1/tenants/acme", {"enabled": False}, headers={name: value}
            )
            assert refused == (422, code)

    async def test_deletes(self, api: Api) -> None:
        key = api.tenant("acme")

        assert (await api.ask("DELETE", "/v1/tenants/acme")).status == 204

        assert await api.problem("GET", "/v1/tenants/acme") == (404, "unknown_tenant")
        assert await api.problem("GET", "/v1/tenants/acme", key=key) == (401, "unauthorized")


class TestWithoutKafka:
    async def test_says_when_to_try_again(self, api: Api) -> None:
        api.tenant("acme")
        api.changes.failing = BrokerError("publish_failed", "Writing to t.secret-topic failed.")

        response = await api.ask("PATCH", "/v1/tenants/acme", {"enabled": False})

        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "secret-topic" not in await response.text()

    async def test_is_alive_but_not_ready(self, api: Api) -> None:
        api.model.not_ready = BrokerError("broker_unreachable", "Nobody at 10.1.2.3:9092.")

        assert (await api.ask("GET", "/healthz", key=None)).status == 200
        response = await api.ask("GET", "/readyz", key=None)

        assert response.status == 503
        assert "10.1.2.3" not in await response.text()
        assert await api.problem("GET", "/v1/tenants") == (503, "broker_unreachable")
        assert await api.problem("POST", "/v1/tenants", {"customer_id": "acme"}) == (
            503,
            "broker_unreachable",
        )
        api.model.not_ready = None
        assert (await api.ask("GET", "/readyz", key=None)).status == 200


async def test_what_another_process_has_just_made_is_found(api: Api) -> None:
    api.model.before_settling = lambda: api.model.put("acme", a_tenant("acme"))

    assert (await api.json("GET", "/v1/tenants/acme"))["customer_id"] == "acme"


async def test_metrics_count_requests_and_name_no_customer(api: Api) -> None:
    api.tenant("very-secret-customer")
    await api.ask("GET", "/v1/tenants/very-secret-customer")

    text = await (await api.ask("GET", "/metrics", key=None)).text()

    assert re.search(r'hookseal_api_requests_total\{operation="getTenant",status="200"\}', text)
    assert "very-secret-customer" not in text
