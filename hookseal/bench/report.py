"""From what was measured to what is printed."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from hookseal.bench.scenario import CUSTOMERS, EVENT_BYTES, PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.bench.meter import Pace
    from hookseal.bench.rounds import Results, Round
    from hookseal.bench.scenario import Scenario

__all__ = ["document", "memory_line", "pace_rows", "ratios_line", "seal_rows", "setting_line"]

_MB = 1_000_000


def document(results: Results, scenario: Scenario, broker: str) -> dict[str, Any]:
    """Return all figures: medians over the rounds, and each round's own."""
    rounds = results.rounds
    worker = _paces([one.worker.pace for one in rounds])
    idle = _paces([one.idle for one in rounds])
    bare = _paces([one.bare for one in rounds])
    return {
        "broker": broker,
        "events": scenario.events,
        "event_bytes": EVENT_BYTES,
        "partitions": PARTITIONS,
        "customers": CUSTOMERS,
        "rounds": len(rounds),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "worker": {
            **worker,
            "peak_rss_bytes": max(one.worker.peak_rss_bytes for one in rounds),
            "received": [one.worker.received for one in rounds],
            "accepted": [one.worker.accepted for one in rounds],
            "dead_letters": [one.worker.dead_letters for one in rounds],
            "exact": all(one.worker.is_exact(scenario.events) for one in rounds),
        },
        "idle_agent": idle,
        "bare_loop": bare,
        "seal_us": _seal_medians(rounds),
        "ratios": {
            "worker_to_bare_loop": worker["per_s"] / bare["per_s"],
            "worker_to_idle_agent": worker["per_s"] / idle["per_s"],
        },
        "memory": None if results.memory is None else asdict(results.memory),
    }


def pace_rows(figures: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return what, per second, CPU microseconds each, lowest and highest rate, MB."""
    rows: list[tuple[object, ...]] = []
    for name, title in (
        ("worker", "hookseal worker, webhooks"),
        ("bare_loop", "bare aiohttp loop, requests"),
        ("idle_agent", "idle Faust agent, events"),
    ):
        found = figures[name]
        low, high = min(found["rates"]), max(found["rates"])
        peak = found.get("peak_rss_bytes")
        rows.append(
            (
                title,
                round(found["per_s"]),
                round(found["cpu_us"]),
                f"{low:.0f}-{high:.0f}",
                None if peak is None else round(peak / _MB),
            )
        )
    return rows


def seal_rows(figures: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return kind of key and microseconds."""
    return [(kind, round(us)) for kind, us in figures["seal_us"].items()]


def ratios_line(figures: dict[str, Any]) -> str:
    """Return the worker's rate in proportion to the others'."""
    ratios = figures["ratios"]
    return (
        f"worker / bare loop {ratios['worker_to_bare_loop']:.2f}, "
        f"worker / idle agent {ratios['worker_to_idle_agent']:.2f}"
    )


def memory_line(figures: dict[str, Any]) -> str | None:
    """Return what a worker takes whose partitions are all held, if it was measured."""
    found = figures["memory"]
    if found is None:
        return None
    ready, full, peak = (
        f"{found[name] / _MB:.0f} MB"
        for name in ("ready_rss_bytes", "full_rss_bytes", "peak_rss_bytes")
    )
    return (
        f"{found['waiting']} events behind heads in backoff: {full} resident, {peak} at most; "
        f"{ready} without an event"
    )


def setting_line(figures: dict[str, Any]) -> str:
    """Return under what conditions all this was measured."""
    return (
        f"{figures['events']} events of {figures['event_bytes']} bytes, "
        f"{figures['customers']} customers with RSA-2048 keys, {figures['partitions']} partitions, "
        f"{figures['broker']} broker, one worker process, nginx; Python {figures['python']} on "
        f"{figures['cpus']} CPUs; medians of {figures['rounds']} rounds"
    )


def _paces(paces: Sequence[Pace]) -> dict[str, Any]:
    return {
        "per_s": median(pace.per_s for pace in paces),
        "cpu_us": median(pace.cpu_us for pace in paces),
        "rates": [pace.per_s for pace in paces],
    }


def _seal_medians(rounds: Sequence[Round]) -> dict[str, float]:
    return {kind: median(one.seal_us[kind] for one in rounds) for kind in rounds[0].seal_us}
