"""The API over fakes, asked over HTTP."""

from __future__ import annotations

import asyncio
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from hookseal.api.factory import ApiParts, build
from hookseal.domain.endpoint_url import check_url
from hookseal.domain.tenant import SCOPES
from hookseal.seal.api_keys import ApiKeys
from hookseal.seal.sign import SigningSecrets
from tests.builders import MASTER_KEY, MAX_BYTES, a_tenant
from tests.fakes import (
    NOW,
    FakeAttempts,
    FakeChanges,
    FakeClock,
    FakeEvents,
    FakeEventSearch,
    FakeLetters,
    FakeModel,
    FakeProgress,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiohttp import ClientResponse, web

    from hookseal.api.ports import Events
    from hookseal.domain.tenant import Tenant


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name == "test_server.py":
        # `hookseal api` runs on asyncio, `hookseal local` on uvloop.
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


ADMIN_KEY = "wha_of_the_tests"
OWN_HOST = "api.provider.com"


class Api:
    """One API process, its tenants in the test's hand."""

    def __init__(self, events: Events | None = None) -> None:
        self.clock = FakeClock()
        self.idempotency_keys: list[str | None] = []
        self.model = FakeModel()
        self.changes = FakeChanges(self.model)
        self.events = FakeEvents()
        self.letters = FakeLetters()
        self.attempts = FakeAttempts()
        self.progress = FakeProgress()
        self.search = FakeEventSearch()
        self.api_keys = ApiKeys({}, master_keys=[MASTER_KEY])
        self.secrets = SigningSecrets(MASTER_KEY)
        self.parts = ApiParts(
            model=self.model,
            changes=self.changes,
            events=events or self.events,
            event_max_bytes=MAX_BYTES,
            api_keys=self.api_keys,
            admin_key=ADMIN_KEY,
            secrets=self.secrets,
            check_url=partial(check_url, own_hosts=frozenset({OWN_HOST})),
            retry_max_s=300.0,
            letters=self.letters,
            attempts=self.attempts,
            records=self.letters,
            replays=self.letters,
            progress=self.progress,
            search=self.search,
            clock=self.clock,
        )

    async def start(self) -> None:
        app = build(self.parts)
        app.on_response_prepare.append(self._note)
        self._client = TestClient(TestServer(app))
        await self._client.start_server()

    async def close(self) -> None:
        await self._client.close()

    async def _note(self, request: web.Request, _: web.StreamResponse) -> None:
        self.idempotency_keys.append(request.headers.get("Idempotency-Key"))

    @property
    def url(self) -> str:
        return str(self._client.make_url("/"))

    def tenant(self, customer_id: str = "acme", *scopes: str, **fields: Any) -> str:
        """Have a tenant there already; return an API key of it with these scopes, or all."""
        key, stored = self.api_keys.new(scopes or SCOPES, now=NOW)
        known: Tenant = self.model.held.get(customer_id) or a_tenant(customer_id, **fields)
        self.model.put(customer_id, replace(known, api_keys=(*known.api_keys, stored)))
        return key

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = ADMIN_KEY,
        headers: dict[str, str] | None = None,
        data: Any = None,
    ) -> ClientResponse:
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if isinstance(data, bytes):
            # aiohttp warns of large bytes.
            data = BytesIO(data)
        response = await self._client.request(method, path, json=body, data=data, headers=sent)
        await response.read()
        return response

    async def json(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        response = await self.ask(method, path, body, **more)
        assert response.status < 300, await response.text()
        return await response.json()

    async def problem(
        self, method: str, path: str, body: Any = None, **more: Any
    ) -> tuple[int, str]:
        """Return status and code of a refusal, whose form is checked."""
        response = await self.ask(method, path, body, **more)
        document = await response.json(content_type="application/problem+json")
        assert document["status"] == response.status
        assert document["detail"].endswith(".")
        assert document.keys() <= {"type", "title", "status", "code", "detail", "field"}
        return response.status, document["code"]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    running = Api()
    await running.start()
    yield running
    await running.close()
