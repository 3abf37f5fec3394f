from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from tests.fakes import NOW
from tests.unit.domain.test_overview import attempt

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api


class TestWhoAmI:
    async def test_the_operator_is_nobody_in_particular(self, api: Api) -> None:
        answer = await api.ask("GET", "/v1/whoami")

        assert await answer.json() == {"customer_id": None, "scopes": []}

    async def test_a_tenant_is_told_what_its_key_may_do(self, api: Api) -> None:
        key = api.tenant("acme", "events:write")

        answer = await api.ask("GET", "/v1/whoami", key=key)

        assert await answer.json() == {"customer_id": "acme", "scopes": ["events:write"]}


class TestOverview:
    async def test_shows_the_last_minute(self, api: Api) -> None:
        now_ms = int(NOW) * 1000
        api.attempts.held = [
            attempt("old", at_ms=now_ms - 61_000),
            attempt("1", at_ms=now_ms - 59_000, duration_us=2_500),
            attempt("2", "http_503", at_ms=now_ms, partition=3, customer_id="other"),
        ]

        answer = await api.ask("GET", "/v1/overview")
        shown = await answer.json()

        assert shown["window_s"] == len(shown["seconds"]) == 60
        assert (shown["seconds"][0]["accepted"], shown["seconds"][-1]["failed"]) == (1, 1)
        assert sum(one["accepted"] + one["failed"] for one in shown["seconds"]) == 2
        assert shown["attempt_p50_s"] == shown["attempt_p99_s"] == 0.0025
        assert [one["partition"] for one in shown["partitions"]] == [0, 3]
        (held,) = shown["partitions"][1]["held"]
        assert (held["customer_id"], held["event_id"], held["code"]) == ("other", "2", "http_503")
        assert "worker" not in held

    async def test_is_the_operator_s(self, api: Api) -> None:
        answer = await api.ask("GET", "/v1/overview", key=api.tenant("acme"))

        assert answer.status == 403
        assert (await answer.json())["code"] == "admin_only"

    async def test_says_that_the_log_is_still_read(self, api: Api) -> None:
        api.attempts.error = BrokerError("index_behind", "Not yet.")

        assert (await api.ask("GET", "/v1/overview")).status == 503


class TestConsole:
    async def test_is_served_to_anybody_and_runs_nothing_else(self, api: Api) -> None:
        page = await api.ask("GET", "/console", key=None)
        text = await page.text()
        script = await api.ask("GET", "/console/app.js", key=None)

        assert (page.status, page.content_type) == (200, "text/html")
        assert (script.status, script.content_type) == (200, "text/javascript")
        for answer in (page, script):
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
        assert "<script>" not in text
        assert "style=" not in text
        assert "://" not in text

    async def test_nothing_beside_it_is_served(self, api: Api) -> None:
        for path in ("/console/", "/console/console.py", "/console/../app.py"):
            assert (await api.ask("GET", path, key=None)).status == 404
