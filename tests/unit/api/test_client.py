"""The client of the API: against the API over fakes, and against what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from hookseal.api.client import ApiClient, tenant_path
from hookseal.api.factory import build
from hookseal.cli.api_session import key_of
from hookseal.config import Settings
from hookseal.errors import (
    BrokerError,
    ConfigurationError,
    ConflictError,
    HooksealError,
    InvalidInputError,
)
from tests.fakes import FakeClock
from tests.hostile import a_closed_port
from tests.unit.api.conftest import ADMIN_KEY, Api
from tests.unit.cli.asking import asking, client_of, refusal_of, something_else

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fakes import FakeChanges

ENDPOINT = {"url": "https://hooks.acme.com/in", "event_types": ["order.*"]}
AWAY = BrokerError("no_worker_answered", "No worker.")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with asking() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Recovering(FakeClock):
    """What failed works again after so many sleeps."""

    def __init__(self, changes: FakeChanges, sleeps: int) -> None:
        super().__init__()
        self._changes = changes
        self._sleeps = sleeps

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if len(self.slept) == self._sleeps:
            self._changes.failing = None


class TestRetries:
    async def test_what_may_succeed_later_is_asked_for_again_when_the_api_says(
        self, api: Api
    ) -> None:
        api.changes.failing = AWAY
        clock = Recovering(api.changes, 3)

        async with client_of(api.url, clock) as client:
            await client.ask("POST", "/v1/tenants", {"customer_id": "acme"})

        assert clock.slept == [2.0, 2.0, 2.0]
        assert list(api.model.held) == ["acme"]

    async def test_a_change_whose_answer_was_lost_is_made_once(
        self, api: Api, clock: FakeClock
    ) -> None:
        api.changes.forgets = AWAY
        api.tenant("acme", endpoints=())

        async with client_of(api.url, clock) as client:
            made = await client.ask("POST", f"{tenant_path('acme')}/endpoints", ENDPOINT)

        assert len(clock.slept) == 1
        assert [endpoint.id for endpoint in api.model.held["acme"].endpoints] == [made["id"]]
        first, again = api.idempotency_keys
        assert first is not None
        assert first == again

    async def test_each_change_has_a_key_of_its_own_and_a_look_has_none(
        self, api: Api, clock: FakeClock
    ) -> None:
        api.tenant("acme")

        async with client_of(api.url, clock) as client:
            await client.ask("PATCH", tenant_path("acme"), {"enabled": False})
            await client.ask("PATCH", tenant_path("acme"), {"enabled": True})
            await client.ask("GET", tenant_path("acme"))

        first, second, none = api.idempotency_keys
        assert None not in (first, second)
        assert first != second
        assert none is None

    async def test_it_gives_up_when_its_time_is_over(self, api: Api, clock: FakeClock) -> None:
        api.changes.failing = AWAY

        async with client_of(api.url, clock, timeout_s=5.0) as client:
            error = await refusal_of(client.ask("POST", "/v1/tenants", {"customer_id": "acme"}))

        assert (type(error), error.code) == (BrokerError, "no_worker_answered")
        assert sum(clock.slept) <= 5.0
        assert len(api.idempotency_keys) == len(clock.slept) + 1 == 3

    async def test_what_is_refused_is_not_asked_for_again(self, api: Api, clock: FakeClock) -> None:
        async with client_of(api.url, clock) as client:
            await refusal_of(client.ask("POST", "/v1/tenants", {"customer_id": " acme"}))

        assert clock.slept == []

    async def test_a_connection_that_broke_is_made_again(self, clock: FakeClock) -> None:
        seen: list[str | None] = []

        async def handler(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Idempotency-Key"))
            assert request.transport is not None
            if len(seen) == 1:
                request.transport.abort()
            return web.json_response({"id": "a"})

        async with something_else(handler) as url, client_of(url, clock) as client:
            answer = await client.ask("POST", "/v1/events", {})

        assert answer == {"id": "a"}
        assert len(seen) == 2
        assert len(set(seen)) == 1

    async def test_a_proxy_with_nobody_behind_it_is_asked_again(self, clock: FakeClock) -> None:
        statuses = [502, 503, 504, 200]

        async def handler(_: web.Request) -> web.Response:
            status = statuses.pop(0)
            return web.json_response({} if status == 200 else None, status=status)

        async with something_else(handler) as url, client_of(url, clock) as client:
            assert await client.ask("GET", "/readyz") == {}

        assert len(clock.slept) == 3

    async def test_where_nobody_listens_it_is_not_awaited(self, clock: FakeClock) -> None:
        with a_closed_port() as port:
            async with client_of(f"http://127.0.0.1:{port}", clock) as client:
                error = await refusal_of(client.ask("GET", "/readyz"))

        assert (error.code, error.field) == ("api_unreachable", "HOOKSEAL_API_URL")
        assert clock.slept == []

    async def test_an_api_of_its_own_is_asked_again_sooner_than_it_says(
        self, tmp_path: Path
    ) -> None:
        api = Api()
        api.changes.failing = AWAY
        clock = Recovering(api.changes, 1)
        runner = web.AppRunner(build(api.parts), access_log=None)
        await runner.setup()
        socket = tmp_path / "api"
        await web.UnixSite(runner, socket).start()
        client = ApiClient(
            "http://localhost",
            ADMIN_KEY,
            timeout_s=10,
            socket=socket,
            monotonic=clock.now,
            sleep=clock.sleep,
        )

        async with client:
            await client.ask("POST", "/v1/tenants", {"customer_id": "acme"})
        await runner.cleanup()

        assert list(api.model.held) == ["acme"]
        assert clock.slept[0] < 1


class TestErrors:
    @pytest.mark.parametrize(
        ("asked", "kind", "place"),
        [
            (("GET", tenant_path("b/ö c")), ConflictError, "unknown_tenant"),
            (("GET", "/v1/tenants/acme/endpoints/x"), ConflictError, "unknown_endpoint (id)"),
            (("POST", "/v1/tenants", {"customer_id": "acme"}), ConflictError, "tenant_exists"),
            (("POST", "/v1/tenants", {}), InvalidInputError, "field_missing (customer_id)"),
            (("POST", "/v1/events", b"{}"), InvalidInputError, "data_missing (data)"),
            (("POST", "/v1/events", b"x" * 5_000_000), InvalidInputError, "payload_too_large"),
        ],
    )
    async def test_are_ours_again(
        self,
        api: Api,
        clock: FakeClock,
        asked: tuple[Any, ...],
        kind: type[HooksealError],
        place: str,
    ) -> None:
        api.tenant("acme")

        async with client_of(api.url, clock) as client:
            error = await refusal_of(client.ask(*asked))

        assert type(error) is kind
        assert str(error).startswith(f"{place}: ")
        assert error.message.endswith(".")

    async def test_of_the_key_are_the_operators(self, api: Api, clock: FakeClock) -> None:
        reader = api.tenant("acme", "events:write")
        for key, path, code in (
            ("wha_of_somebody_else", "/v1/tenants", "unauthorized"),
            (reader[:-1], "/v1/tenants", "api_key_malformed"),
            (reader, "/v1/tenants", "admin_only"),
            (reader, f"{tenant_path('acme')}/endpoints", "scope_missing"),
        ):
            method = "POST" if path.endswith("endpoints") else "GET"
            async with client_of(api.url, clock, key=key) as client:
                error = await refusal_of(client.ask(method, path))

            assert (type(error), error.code) == (ConfigurationError, code)
            assert key not in str(error)

    @pytest.mark.parametrize(
        ("status", "text"),
        [
            (200, "<html>"),
            (200, "[]"),
            (404, "<html>"),
            (404, "{}"),
            (422, '{"code": 7}'),
            (301, ""),
            (500, "\u0000"),
        ],
    )
    async def test_what_is_not_the_api_is_called_so(
        self, clock: FakeClock, status: int, text: str
    ) -> None:
        asked: list[str] = []

        async def handler(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=status, text=text, headers={"Location": "/elsewhere"})

        async with something_else(handler) as url, client_of(url, clock) as client:
            error = await refusal_of(client.ask("GET", "/v1/tenants"))

        assert (error.code, error.field) == ("api_unexpected", "HOOKSEAL_API_URL")
        assert asked == ["/v1/tenants"]
        assert ADMIN_KEY not in str(error)

    async def test_an_answer_that_lacks_something_is_not_the_api_s(self, clock: FakeClock) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.json_response({"hello": "world"})

        async with something_else(handler) as url, client_of(url, clock) as client:
            answer = await client.ask("GET", "/")

        assert answer["hello"] == "world"
        with pytest.raises(BrokerError, match="api_unexpected"):
            answer["kid"]


class TestKey:
    def test_is_the_api_key_or_else_the_admin_key(self) -> None:
        both = settings_with(api_key=" whk_live_1\n", admin_key="wha_of_the_operator")
        one = settings_with(api_key="", admin_key="wha_of_the_operator")

        assert key_of(both) == "whk_live_1"
        assert key_of(one) == "wha_of_the_operator"

    @pytest.mark.parametrize(
        ("key", "code"),
        [
            (" ", "api_key_missing"),
            ("whk\r\nX: 1", "api_key_malformed"),
            ("whk_ö", "api_key_malformed"),
        ],
    )
    def test_must_be_one(self, key: str, code: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            key_of(settings_with(api_key=key, admin_key=""))

        assert (caught.value.code, caught.value.field) == (code, "HOOKSEAL_API_KEY")


def settings_with(**secrets: str) -> Settings:
    values: dict[str, Any] = {name: SecretStr(value) for name, value in secrets.items()}
    return Settings.model_construct(**values)
