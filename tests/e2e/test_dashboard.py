"""The dashboard and the alert rules, on a real Prometheus that scrapes a real worker and API."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.e2e.conftest import closed_port
from tests.e2e.customer import Customer
from tests.e2e.process import REPOSITORY
from tests.prometheus_server import PrometheusServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider

FOLDER = REPOSITORY / "deploy" / "observability"
RULES = FOLDER / "rules.yml"
METRIC = re.compile(r"\b(?:hookseal|process)_[a-z_]+|\bup\b")


def declared() -> Any:
    """Return the module in which the dashboard is declared."""
    spec = importlib.util.spec_from_file_location("dashboard", FOLDER / "dashboard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def test_the_dashboard_is_what_is_declared() -> None:
    written = json.loads((FOLDER / "hookseal.json").read_text())

    assert written == declared().dashboard(), (
        "write it anew, as the docstring of deploy/observability/dashboard.py says"
    )


def test_every_alert_has_its_line_in_the_runbook() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    section = page.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(Hookseal\w+)` \| (\w+) \|", section, re.MULTILINE)

    assert told == [(one["alert"], one["labels"]["severity"]) for one in alerts()]


def test_the_rules_are_well_formed() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool")

    subprocess.run([program, "check", "rules", str(RULES)], check=True, timeout=60)


@pytest.mark.broker
@pytest.mark.apache
@pytest.mark.timeout(170)
async def test_every_query_has_an_answer(provider: Provider, tmp_path: Path) -> None:
    port = closed_port()
    await provider.worker(
        HOOKSEAL_METRICS_PORT=str(port),
        HOOKSEAL_ORDERING="customer",
        HOOKSEAL_RETRY_DELAYS_S="0.01",
        HOOKSEAL_SUSPEND_AFTER="2",
    )
    api = await provider.api()
    targets = [f"127.0.0.1:{port}", api.url.removeprefix("http://")]
    async with (
        PrometheusServer(tmp_path, targets, RULES) as prometheus,
        Customer(api, "acme") as acme,
        Customer(api, "other") as other,
    ):
        for customer in (acme, other):
            await customer.subscribe()
            await customer.add_key()
            await customer.add_endpoint("*")
        other.status = 503

        async def load() -> None:
            number = 0
            while True:
                events = [
                    {"customer_id": name, "type": "a.b", "id": f"{name}-{number}", "data": number}
                    for name in ("acme", "other")
                ]
                await api.do("POST", "/v1/events", events)
                number += 1
                await asyncio.sleep(0.05)

        unanswered = [
            query.replace("$__rate_interval", "10s").replace("$__range", "1m")
            for panel in declared().PANELS
            for query in panel.queries.values()
        ]
        loading = asyncio.create_task(load())
        try:
            assert len(unanswered) > 25
            async with asyncio.timeout(90):
                while unanswered:
                    assert not loading.done()
                    unanswered = [
                        query for query in unanswered if not await prometheus.query(query)
                    ]
        except TimeoutError:
            raise AssertionError(unanswered) from None
        finally:
            loading.cancel()

        known = set(await prometheus.ask("label/__name__/values"))
        used = {name for rule in alerts() for name in METRIC.findall(rule["expr"])}
        assert used - known == set()
        for rule in alerts():
            await prometheus.query(rule["expr"])
        loaded = await prometheus.ask("rules")
        assert [(one["name"], one["health"]) for one in loaded["groups"][0]["rules"]] == [
            (one["alert"], "ok") for one in alerts()
        ]
        # What is true comes up as an alert.
        (active,) = [
            one["alerts"]
            for one in loaded["groups"][0]["rules"]
            if one["name"] == "HooksealEndpointsSuspended"
        ]
        assert [one["state"] for one in active] == ["pending"]
