"""The Grafana dashboard.

    python deploy/observability/dashboard.py > deploy/observability/hookseal.json

A test compares the JSON with this file, and runs every query on a real Prometheus.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

__all__ = ["PANELS", "dashboard"]

_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3


class Panel(NamedTuple):
    """One panel.

    Attributes:
        unit: Grafana's name of the unit.
        queries: Prometheus queries by legend.
        about: The description: content, and when to act.
    """

    title: str
    unit: str
    queries: dict[str, str]
    about: str


def _rate(metric: str, *by: str, labels: str = "") -> str:
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} (rate({metric}{labels}[$__rate_interval]))"


def _quantiles(metric: str, *by: str) -> dict[str, str]:
    grouped = ", ".join(("le", *by))
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return {
        f"p{name} {legend}".strip(): f"histogram_quantile({share}, sum by ({grouped}) "
        f"(rate({metric}_bucket[$__rate_interval])))"
        for name, share in (("50", 0.5), ("99", 0.99))
    }


PANELS: tuple[Panel, ...] = (
    Panel(
        "Accepted deliveries",
        "reqps",
        {"events/s": _rate("hookseal_deliveries_total", labels='{outcome="accepted"}')},
        "Deliveries per second that endpoints answered with 2xx.",
    ),
    Panel(
        "Deliveries by outcome",
        "reqps",
        {"{{outcome}}": _rate("hookseal_deliveries_total", "outcome")},
        "accepted, dead_lettered, or set_aside (deferred for a suspended endpoint).",
    ),
    Panel(
        "End-to-end latency",
        "s",
        _quantiles("hookseal_delivery_seconds"),
        "p50 and p99 from the record's timestamp to the 2xx, queueing and backoff included.",
    ),
    Panel(
        "Attempts by code",
        "reqps",
        {"{{code}}": _rate("hookseal_attempts_total", "code")},
        "Results of attempts. Most codes other than accepted are retried.",
    ),
    Panel(
        "Attempt latency",
        "s",
        _quantiles("hookseal_attempt_seconds"),
        "p50 and p99, connect to last byte. Depends on the receivers.",
    ),
    Panel(
        "Encryption time",
        "s",
        _quantiles("hookseal_seal_seconds"),
        "p50 and p99 to encrypt and sign one request. Depends on the CPU.",
    ),
    Panel(
        "Consumer lag by partition",
        "short",
        {"{{partition}}": "max by (partition) (hookseal_lag)"},
        "Events that are not done. If one partition grows alone, a customer blocks it.",
    ),
    Panel(
        "Oldest event in progress",
        "s",
        {"{{partition}}": "max by (partition) (hookseal_oldest_hold_seconds)"},
        "Age of the oldest event in progress, by partition.",
    ),
    Panel(
        "Retries in backoff by partition",
        "short",
        {"{{partition}}": "sum by (partition) (hookseal_in_backoff)"},
        "Deliveries that wait for their next attempt.",
    ),
    Panel(
        "Attempts in progress",
        "short",
        {
            "attempts": "sum (hookseal_in_flight)",
            "ordering keys": "sum (hookseal_lanes)",
        },
        "Attempts in progress, and ordering keys with queued events.",
    ),
    Panel(
        "Dead letters by reason",
        "reqps",
        {"{{category}} {{reason}}": _rate("hookseal_dead_letters_total", "category", "reason")},
        "Dead letters per second. The category `platform` is for the operator to fix.",
    ),
    Panel(
        "Suspended endpoints",
        "short",
        {
            "suspended": "sum (hookseal_suspended_endpoints)",
            "tenants in a storm": "sum (hookseal_tenants_in_storm)",
        },
        "Endpoints whose events are deferred, and tenants with many dead letters per minute.",
    ),
    Panel(
        "Table recovery",
        "s",
        {
            "duration of the last recovery": "max (hookseal_recovery_seconds)",
            "recovering now": "sum (hookseal_recovering)",
        },
        "Recovery of the tenants table, at a start and after a rebalance.",
    ),
    Panel(
        "Published over the API",
        "reqps",
        {"events/s": _rate("hookseal_published_total")},
        "Events that the API accepted, duplicates included.",
    ),
    Panel(
        "API requests",
        "reqps",
        {"{{operation}} {{status}}": _rate("hookseal_api_requests_total", "operation", "status")},
        "Requests per second, by operation and status.",
    ),
    Panel(
        "API latency",
        "s",
        _quantiles("hookseal_api_seconds", "operation"),
        "p50 and p99 of successful requests, by operation.",
    ),
    Panel(
        "Expected to be zero",
        "short",
        {
            "gaps": "sum (increase(hookseal_gaps_total[$__range]))",
            "misrouted": "sum (increase(hookseal_misrouted_total[$__range]))",
            "unauthenticated records": "sum (increase(hookseal_forged_records_total[$__range]))",
            "log dropped": "sum (increase(hookseal_delivery_log_dropped_total[$__range]))",
            "blocked dead letters": "sum (hookseal_dead_letter_writes_held)",
        },
        "docs/operations.md explains each of them.",
    ),
    Panel(
        "Memory and CPU",
        "short",
        {
            "MB {{instance}}": 'process_resident_memory_bytes{job="hookseal"} / 1e6',
            "cores {{instance}}": (
                'rate(process_cpu_seconds_total{job="hookseal"}[$__rate_interval])'
            ),
        },
        "Memory (MB) and CPU (cores) of each process.",
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard in Grafana's JSON model."""
    return {
        "uid": "hookseal",
        "title": "hookseal",
        "tags": ["hookseal"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "prometheus",
                    "label": "Prometheus",
                }
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH,
            "y": number // _COLUMNS * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": source, "expr": query, "legendFormat": name}
            for at, (name, query) in enumerate(panel.queries.items())
        ],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
