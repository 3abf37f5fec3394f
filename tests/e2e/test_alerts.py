"""Each alert fires by its fault and not without: on series, and four of them on real processes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml  # type: ignore[import-untyped]

from tests.e2e.conftest import closed_port, customers
from tests.e2e.test_dashboard import RULES, alerts
from tests.e2e.test_transactions import transactional
from tests.prometheus_server import PrometheusServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider

_W = 'job="hookseal",instance="w1"'
# Samples are one minute apart.
_LONG = 200


class Case(NamedTuple):
    """Series with which an alert fires at `at`, and series with which it does not."""

    fires: dict[str, str]
    quiet: dict[str, str]
    at: str = "30m"


def steady(value: float) -> str:
    return f"{value}x{_LONG}"


def counter(name: str, labels: str = "") -> Case:
    """Return the case of a counter that fires when it grows, and when it appears."""
    series = f"{name}{{{_W}{labels}}}"
    return Case({series: f"0x27 1x{_LONG}"}, {series: steady(7)})


def first(name: str, labels: str) -> Case:
    series = f"{name}{{{_W}{labels}}}"
    return Case({series: f"_x28 1x{_LONG}"}, {series: steady(1)})


PLATFORM = ',reason="internal_error",category="platform"'
EXPIRED = ',reason="expired",category="receiver"'
CASES = {
    "HooksealProcessDown": [Case({f"up{{{_W}}}": steady(0)}, {f"up{{{_W}}}": steady(1)})],
    "HooksealNoWorker": [
        Case({f"up{{{_W}}}": steady(1)}, {f'hookseal_lag{{{_W},partition="0"}}': steady(0)})
    ],
    "HooksealPlatformDeadLetters": [
        counter("hookseal_dead_letters_total", PLATFORM),
        first("hookseal_dead_letters_total", PLATFORM),
    ],
    "HooksealDeadLetterWritesBlocked": [
        Case(
            {f"hookseal_dead_letter_writes_held{{{_W}}}": steady(1)},
            {f"hookseal_dead_letter_writes_held{{{_W}}}": steady(0)},
        )
    ],
    "HooksealWritesRefused": [
        counter("hookseal_write_failures_total", ',topic="a",code="record_refused"'),
        first("hookseal_write_failures_total", ',topic="a",code="record_refused"'),
    ],
    "HooksealForgedRecords": [counter("hookseal_forged_records_total")],
    "HooksealUnreadableBatches": [counter("hookseal_unreadable_batches_total")],
    "HooksealTenantWritesRefused": [counter("hookseal_tenant_writes_refused_total")],
    "HooksealLag": [
        Case(
            {f'hookseal_lag{{{_W},partition="{n}"}}': steady(6000) for n in range(2)},
            {f'hookseal_lag{{{_W},partition="{n}"}}': steady(5000) for n in range(2)},
        )
    ],
    "HooksealPartitionBlocked": [
        Case(
            {f'hookseal_oldest_hold_seconds{{{_W},partition="3"}}': f"0+60x{_LONG}"},
            {f'hookseal_oldest_hold_seconds{{{_W},partition="3"}}': steady(890)},
        )
    ],
    "HooksealUncommittedRecords": [
        Case(
            {f'hookseal_uncommitted_records{{{_W},partition="3"}}': f"0+1x{_LONG}"},
            {f'hookseal_uncommitted_records{{{_W},partition="3"}}': "1 2 0 3 " * 20},
        )
    ],
    "HooksealSlow": [
        Case(
            {
                f'hookseal_delivery_seconds_bucket{{{_W},le="60"}}': f"0+90x{_LONG}",
                f'hookseal_delivery_seconds_bucket{{{_W},le="300"}}': f"0+100x{_LONG}",
                f'hookseal_delivery_seconds_bucket{{{_W},le="+Inf"}}': f"0+100x{_LONG}",
            },
            {
                f'hookseal_delivery_seconds_bucket{{{_W},le="60"}}': f"0+100x{_LONG}",
                f'hookseal_delivery_seconds_bucket{{{_W},le="300"}}': f"0+100x{_LONG}",
                f'hookseal_delivery_seconds_bucket{{{_W},le="+Inf"}}': f"0+100x{_LONG}",
            },
        )
    ],
    "HooksealTenantsInStorm": [
        Case(
            {f"hookseal_tenants_in_storm{{{_W}}}": steady(1)},
            {f"hookseal_tenants_in_storm{{{_W}}}": steady(0)},
        )
    ],
    "HooksealEndpointsSuspended": [
        Case(
            {f'hookseal_suspended_endpoints{{{_W},partition="3"}}': steady(1)},
            {f'hookseal_suspended_endpoints{{{_W},partition="3"}}': steady(0)},
            at="90m",
        )
    ],
    "HooksealEventsExpired": [
        counter("hookseal_dead_letters_total", EXPIRED)._replace(at="70m"),
        first("hookseal_dead_letters_total", EXPIRED)._replace(at="70m"),
    ],
    "HooksealGaps": [counter("hookseal_gaps_total")],
    "HooksealMisrouted": [counter("hookseal_misrouted_total")],
    "HooksealResourceExhausted": [
        counter("hookseal_resource_exhausted_total", ',resource="memory"'),
        first("hookseal_resource_exhausted_total", ',resource="memory"'),
    ],
    "HooksealDeliveryLogDropped": [counter("hookseal_delivery_log_dropped_total")],
    "HooksealApiFailing": [
        Case(
            {
                f'hookseal_api_requests_total{{{_W},operation="a",status="503"}}': f"0+1x{_LONG}",
                f'hookseal_api_requests_total{{{_W},operation="a",status="202"}}': f"0+9x{_LONG}",
            },
            {
                f'hookseal_api_requests_total{{{_W},operation="a",status="503"}}': f"0+1x{_LONG}",
                f'hookseal_api_requests_total{{{_W},operation="a",status="202"}}': f"0+99x{_LONG}",
            },
        )
    ],
    "HooksealRecovering": [
        Case(
            {f"hookseal_recovering{{{_W}}}": steady(1)},
            {f"hookseal_recovering{{{_W}}}": steady(0)},
        )
    ],
}


def test_every_alert_has_a_case() -> None:
    assert list(CASES) == [one["alert"] for one in alerts()]


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_by_its_fault_and_not_without(alert: str, tmp_path: Path) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool")
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": made} for name, made in series.items()],
            "promql_expr_test": [{"expr": firing, "eval_time": case.at, "exp_samples": expected}],
        }
        for case in CASES[alert]
        for series, expected in (
            (case.fires, [{"labels": "{}", "value": 1}]),
            (case.quiet, []),
        )
    ]
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))

    ran = subprocess.run(
        [program, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def hurried(folder: Path) -> Path:
    """Return the rules with seconds for minutes, and ten events of lag for 10,000."""
    text = RULES.read_text()
    for long, short in (
        ("[15m:1m]", "[2s:1s]"),
        ("> 10000", "> 10"),
        ("> 900", "> 1"),
        ("uncommitted_records[5m]", "uncommitted_records[3s]"),
    ):
        assert long in text
        text = text.replace(long, short)
    rules: Any = yaml.safe_load(text)
    for rule in rules["groups"][0]["rules"]:
        if "for" in rule:
            rule["for"] = "1s"
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump(rules))
    return file


async def firing(prometheus: PrometheusServer, *wanted: str) -> None:
    """Wait until these alerts fire."""
    async with asyncio.timeout(60):
        found: set[str] = set()
        while not found >= set(wanted):
            now = await prometheus.query('ALERTS{alertstate="firing"}')
            found = {one["metric"]["alertname"] for one in now}


@pytest.mark.broker
@pytest.mark.apache
@pytest.mark.timeout(170)
async def test_real_faults_raise_their_alerts(provider: Provider, tmp_path: Path) -> None:
    held, refused = (customers(1, partition=partition)[0] for partition in (0, 1))
    receiver = await provider.receiver()

    async def fail(*_: str) -> int:
        return 503

    receiver.answer = fail
    port, other_port = closed_port(), closed_port()
    targets = [f"127.0.0.1:{one}" for one in (port, other_port)]
    async with PrometheusServer(tmp_path, targets, hurried(tmp_path)) as prometheus:
        await firing(prometheus, "HooksealNoWorker", "HooksealProcessDown")
        for customer in (held, refused):
            await provider.tenant(customer, receiver.url(customer))
        worker = await provider.worker(
            HOOKSEAL_METRICS_PORT=str(port), HOOKSEAL_RETRY_DELAYS_S="600"
        )
        for number in range(20):
            await provider.publish(held, number)
        await firing(prometheus, "HooksealPartitionBlocked", "HooksealLag")
        async with transactional(provider) as hanging:
            await hanging.begin()
            await hanging.send(1)
            await firing(prometheus, "HooksealUncommittedRecords")
            await hanging.abort()
        worker.terminate()
        await worker.ended()
        await firing(prometheus, "HooksealNoWorker")

        await provider.worker(
            "again",
            HOOKSEAL_METRICS_PORT=str(other_port),
            HOOKSEAL_ORDERING="customer",
            HOOKSEAL_RETRY_DELAYS_S="0.01",
            HOOKSEAL_SUSPEND_AFTER="1",
        )
        await firing(prometheus, "HooksealEndpointsSuspended")
        await provider.limit(provider.names.dead_letters, max_message_bytes=300)
        await provider.publish(refused, 1)
        await firing(prometheus, "HooksealWritesRefused", "HooksealDeadLetterWritesBlocked")
