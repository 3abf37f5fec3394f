"""From what was measured to what is printed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.meter import paces_figures
from benchmarks.scenario import CUSTOMERS, EVENT_BYTES, PARTITIONS
from benchmarks.sink import PLACES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.rounds import Results, Round
    from benchmarks.scenario import Scenario

PACE_COLUMNS = ("one process", "per s", "CPU us each", "rounds", "peak MB")

_MB, _GB = 1_000_000, 1_000_000_000
_LIBRARIES = ("hookseal", "faust-streaming", "aiokafka", "aiohttp", "cryptography")


def document(results: Results, scenario: Scenario, broker: str) -> dict[str, Any]:
    """Return all figures: medians over the rounds, and each round's own."""
    rounds = results.rounds
    worker = paces_figures([one.worker.pace for one in rounds])
    idle = paces_figures([one.idle for one in rounds])
    bare = paces_figures([one.bare for one in rounds])
    found = [one.reference for one in rounds if one.reference is not None]
    reference = paces_figures(found) if found else None
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
        "reference": reference,
        "without_reference": results.without_reference,
        "seal_us": _seal_medians(rounds),
        "ratios": {
            "worker_to_bare_loop": worker["per_s"] / bare["per_s"],
            "worker_to_idle_agent": worker["per_s"] / idle["per_s"],
            # Of each round by itself: what a machine does meanwhile falls on both.
            "worker_to_reference": _ratio(rounds),
        },
        "memory": None if results.memory is None else asdict(results.memory),
    }


def machine(broker: str) -> dict[str, Any]:
    """Return on what all of it was measured."""
    return {
        "broker": broker,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "node": _said(["node", "--version"]),
        "nginx": _said(["nginx", "-v"]),
    }


def machine_line(found: dict[str, Any]) -> str:
    """Return the machine as one line."""
    return (
        f"hookseal {found['versions']['hookseal']}, {found['broker']} broker, "
        f"{found['cpus']} CPUs, {found['memory_bytes'] / _GB:.0f} GB, Python {found['python']}"
    )


def pace_rows(figures: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return what, per second, CPU microseconds each, lowest and highest rate, MB."""
    rows: list[tuple[object, ...]] = []
    for name, title in (
        ("worker", "hookseal worker, webhooks"),
        ("reference", "consumer on kafkajs, nothing sealed, webhooks"),
        ("bare_loop", "bare aiohttp loop, requests"),
        ("idle_agent", "idle Faust agent, events"),
    ):
        found = figures[name]
        if found is None:
            continue
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


def pace_lines(figures: dict[str, Any]) -> list[str]:
    """Return the ratios, and why there is no consumer on kafkajs where there is none."""
    why = figures["without_reference"]
    return [_ratios_line(figures), *([] if why is None else [f"Without kafkajs: {why}"])]


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


def _ratio(rounds: Sequence[Round]) -> float | None:
    ratios = [
        one.worker.pace.per_s / one.reference.per_s for one in rounds if one.reference is not None
    ]
    return median(ratios) if ratios else None


def _seal_medians(rounds: Sequence[Round]) -> dict[str, float]:
    return {kind: median(one.seal_us[kind] for one in rounds) for kind in rounds[0].seal_us}


def _ratios_line(figures: dict[str, Any]) -> str:
    """Return the worker's rate in proportion to the others'."""
    names = {"bare_loop": "bare loop", "idle_agent": "idle agent", "reference": "kafkajs consumer"}
    ratios = {name: figures["ratios"][f"worker_to_{name}"] for name in names}
    return ", ".join(
        f"worker / {names[name]} {ratio:.2f}" for name, ratio in ratios.items() if ratio
    )


def _said(command: list[str]) -> str | None:
    """Return what a program says of its version; None where there is none."""
    program = shutil.which(command[0]) or shutil.which(command[0], path=PLACES)
    if program is None:
        return None
    run = subprocess.run(  # noqa: S603 - to be told its version
        [program, *command[1:]], capture_output=True, text=True, check=False
    )
    return (run.stdout or run.stderr).strip()
