"""A worker's own metrics, as it serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from hookseal.bench.page import page_at

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["accepted", "applied", "in_backoff", "metrics_of"]


def metrics_of(port: int) -> Mapping[str, float]:
    """Return the metrics, by name and labels; nothing while there is no worker to ask."""
    text = page_at(port, "/metrics")
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text or "")
        for sample in family.samples
    }


def accepted(port: int) -> int:
    """Return the deliveries that were accepted."""
    return int(metrics_of(port).get("hookseal_deliveries_total accepted", 0))


def applied(port: int) -> int:
    """Return the commands that took effect."""
    return int(metrics_of(port).get("hookseal_commands_total ok", 0))


def in_backoff(port: int) -> int:
    """Return the deliveries that wait in backoff, on all partitions."""
    found = metrics_of(port).items()
    return int(sum(value for name, value in found if name.startswith("hookseal_in_backoff ")))
