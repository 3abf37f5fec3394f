"""The Grafana dashboard, declared once.

    python deploy/observability/dashboard.py > deploy/observability/hookseal.json

A test holds the JSON beside it to this, and runs every query on a real Prometheus.
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
        title: Above it.
        unit: Grafana's name of the unit.
        queries: Prometheus' queries, by what their lines are called.
        about: What it shows, and when to worry.
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
        "Webhooks accepted",
        "reqps",
        {"a second": _rate("hookseal_deliveries_total", labels='{outcome="accepted"}')},
        "Deliveries that endpoints answered with 2xx.",
    ),
    Panel(
        "Deliveries by outcome",
        "reqps",
        {"{{outcome}}": _rate("hookseal_deliveries_total", "outcome")},
        "accepted, dead_lettered, set_aside for a suspended endpoint.",
    ),
    Panel(
        "From record to acceptance",
        "s",
        _quantiles("hookseal_delivery_seconds"),
        "From the record's timestamp to the 2xx, waits and backoff included.",
    ),
    Panel(
        "Attempts by code",
        "reqps",
        {"{{code}}": _rate("hookseal_attempts_total", "code")},
        "What receivers answer; anything but accepted is tried again.",
    ),
    Panel(
        "Time of an attempt",
        "s",
        _quantiles("hookseal_attempt_seconds"),
        "Connect to last byte: the receivers' pace.",
    ),
    Panel(
        "Time to seal",
        "s",
        _quantiles("hookseal_seal_seconds"),
        "Encrypting and signing: ours, and CPU.",
    ),
    Panel(
        "Lag by partition",
        "short",
        {"{{partition}}": "max by (partition) (hookseal_lag)"},
        "Events that are not finished. One line that grows alone: a customer holds its partition.",
    ),
    Panel(
        "Oldest hold by partition",
        "s",
        {"{{partition}}": "max by (partition) (hookseal_oldest_hold_seconds)"},
        "For how long the oldest unfinished event is in hand.",
    ),
    Panel(
        "In backoff by partition",
        "short",
        {"{{partition}}": "sum by (partition) (hookseal_in_backoff)"},
        "Deliveries that wait for their next attempt.",
    ),
    Panel(
        "On the wire",
        "short",
        {
            "attempts": "sum (hookseal_in_flight)",
            "lanes": "sum (hookseal_lanes)",
        },
        "Attempts that run, and customers that have events, unless the order is `partition`.",
    ),
    Panel(
        "Dead letters by reason",
        "reqps",
        {"{{category}} {{reason}}": _rate("hookseal_dead_letters_total", "category", "reason")},
        "Only `platform` is ours to mend.",
    ),
    Panel(
        "Suspended endpoints",
        "short",
        {
            "suspended": "sum (hookseal_suspended_endpoints)",
            "tenants in a storm": "sum (hookseal_tenants_in_storm)",
        },
        "Endpoints whose events are set aside, and tenants with unusually many dead letters.",
    ),
    Panel(
        "Table recovery",
        "s",
        {
            "seconds, the last time": "max (hookseal_recovery_seconds)",
            "recovering now": "sum (hookseal_recovering)",
        },
        "Reading the tenants when a worker starts or partitions move.",
    ),
    Panel(
        "Published over the API",
        "reqps",
        {"events a second": _rate("hookseal_published_total")},
        "Events that the API took.",
    ),
    Panel(
        "API requests",
        "reqps",
        {"{{operation}} {{status}}": _rate("hookseal_api_requests_total", "operation", "status")},
        "By operation and status.",
    ),
    Panel(
        "Time of an API request",
        "s",
        _quantiles("hookseal_api_seconds", "operation"),
        "Of requests that succeeded.",
    ),
    Panel(
        "What should be zero",
        "short",
        {
            "gaps": "sum (increase(hookseal_gaps_total[$__range]))",
            "misrouted": "sum (increase(hookseal_misrouted_total[$__range]))",
            "forged": "sum (increase(hookseal_forged_records_total[$__range]))",
            "log dropped": "sum (increase(hookseal_delivery_log_dropped_total[$__range]))",
            "letters held": "sum (hookseal_dead_letter_writes_held)",
        },
        "Each has a line in docs/operations.md.",
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
        "Of each process.",
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana has it."""
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
