from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from hookseal.api.factory import operations_of
from hookseal.api.operations import Access

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

# The routes of the contract, which outside programs hold on to.
CONTRACT = """
POST   /v1/tenants
GET    /v1/tenants
GET    /v1/tenants/{c}
PATCH  /v1/tenants/{c}
DELETE /v1/tenants/{c}
POST   /v1/tenants/{c}/api-keys
DELETE /v1/tenants/{c}/api-keys/{id}
POST   /v1/tenants/{c}/public-keys
GET    /v1/tenants/{c}/public-keys
DELETE /v1/tenants/{c}/public-keys/{kid}
POST   /v1/tenants/{c}/endpoints
GET    /v1/tenants/{c}/endpoints
GET    /v1/tenants/{c}/endpoints/{id}
PATCH  /v1/tenants/{c}/endpoints/{id}
DELETE /v1/tenants/{c}/endpoints/{id}
POST   /v1/tenants/{c}/endpoints/{id}/rotate-secret
POST   /v1/tenants/{c}/endpoints/{id}/test
GET    /v1/tenants/{c}/deliveries
GET    /v1/tenants/{c}/dead-letters
POST   /v1/tenants/{c}/dead-letters/replay
GET    /v1/tenants/{c}/dead-letters/stats
GET    /v1/dead-letters
GET    /v1/dead-letters/stats
GET    /v1/dead-letters/{partition}/{offset}
POST   /v1/dead-letters/replay
POST   /v1/events
GET    /healthz
GET    /readyz
GET    /metrics
"""
SWAGGER_UI = "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2"


async def document(api: Api) -> Any:
    return await api.json("GET", "/openapi.json", key=None)


class TestDocument:
    async def test_is_valid_openapi(self, api: Api) -> None:
        # A second of imports, which the other processes of a run need not spend.
        from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415

        OpenAPIV31SpecValidator(await document(api)).validate()

    async def test_has_every_route_of_the_contract(self, api: Api) -> None:
        told = {
            (method.upper(), path)
            for path, methods in (await document(api))["paths"].items()
            for method in methods
        }
        wanted = {
            tuple(line.replace("{c}", "{customer_id}").split())
            for line in CONTRACT.strip().splitlines()
        }

        assert wanted - told == set()

    async def test_is_made_of_what_answers(self, api: Api) -> None:
        told = await document(api)

        for operation in operations_of(api.parts):
            described = told["paths"][operation.path][operation.method.lower()]
            assert described["operationId"] == operation.name
            assert str(operation.status.value) in described["responses"]
            assert (described["security"] == []) == (operation.access is Access.PUBLIC)

    async def test_names_are_unique_and_each_schema_is_used(self, api: Api) -> None:
        told = await document(api)
        names = [operation.name for operation in operations_of(api.parts)]
        used = set(re.findall(r"#/components/schemas/(\w+)", str(told)))

        assert len(set(names)) == len(names)
        assert used == set(told["components"]["schemas"])


class TestPage:
    async def test_the_page_is_browsable(self, api: Api) -> None:
        page = await api.ask("GET", "/docs", key=None)

        assert page.content_type == "text/html"
        for path in re.findall(r'(?:src|href)="([^"]+)"', await page.text()):
            assert (await api.ask("GET", f"/{path}", key=None)).status == 200
        started = await (await api.ask("GET", "/docs/start.js", key=None)).text()
        assert 'url: "openapi.json"' in started

    async def test_nothing_comes_from_elsewhere(self, api: Api) -> None:
        page = await api.ask("GET", "/docs", key=None)

        assert "//" not in (await page.text()).replace("<!doctype html>", "")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy

    def test_swagger_ui_is_the_one_that_was_published(self) -> None:
        script = files("hookseal.api") / "swagger_ui" / "swagger-ui-bundle.js"

        assert hashlib.sha256(script.read_bytes()).hexdigest() == SWAGGER_UI
