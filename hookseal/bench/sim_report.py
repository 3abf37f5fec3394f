"""What is simulated beside what the formulas say, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from hookseal.bench.capacity import deployment_per_s, work_of
from hookseal.bench.capacity_bounds import bounds_per_s, fullest, tightest
from hookseal.bench.simulation import drain, exponential, open_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal.bench.sim_model import Model

__all__ = ["SIMULATION_COLUMNS", "simulation_figures", "simulation_rows"]

SIMULATION_COLUMNS = ("", "simulated", "formula")


def simulation_figures(
    model: Model, *, per_s: float | None, events: int, seed: int
) -> dict[str, Any]:
    """Simulate, and return all figures: seconds, webhooks a second.

    Args:
        model: What is simulated.
        per_s: Webhooks that are published each second, > 0; None = all are there from the
            beginning.
        events: In all.
        seed: The same seed and model make the same figures.

    Raises:
        HooksealError: `bench_too_short`.
    """
    work = work_of(model)
    formula = {
        "per_s": deployment_per_s(model),
        "bounds_per_s": bounds_per_s(model),
        "bound_by": tightest(model),
        "held_s": work.held_s,
        "cpu_s": work.busy_s,
        "dead_letters": events * model.failing**model.backoff.attempts,
    }
    if per_s is None:
        simulated = asdict(drain(model, events=events, seed=seed))
        simulated["pace"] = {"per_s": simulated["pace"][0], "cpu_us": simulated["pace"][1]}
    else:
        simulated = asdict(open_loop(model, per_s=per_s, events=events, seed=seed))
        formula["busy"] = per_s * work.busy_s / model.workers
        formula["fullest"] = fullest(model, per_s)
    return {
        "model": _plain(model),
        "per_s": per_s,
        "events": events,
        "seed": seed,
        "simulated": simulated,
        "formula": formula,
    }


def _plain(model: Model) -> dict[str, Any]:
    return {**asdict(model), "spread": "exponential" if model.spread is exponential else None}


def simulation_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the rows of `SIMULATION_COLUMNS`."""
    rows = _drained(figures) if figures["per_s"] is None else _waits(figures)
    formula = figures["formula"]
    return [
        *rows,
        ("dead letters", figures["simulated"]["dead_letters"], f"{formula['dead_letters']:.0f}"),
        ("bound first by", "", formula["bound_by"]),
        *(
            (f"  {name}, per s", "", f"{bound:,.0f}")
            for name, bound in formula["bounds_per_s"].items()
        ),
    ]


def _drained(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    simulated, formula = figures["simulated"], figures["formula"]
    pace = simulated["pace"]
    return [
        ("webhooks per s", f"{pace['per_s']:,.0f}", f"{formula['per_s']:,.0f}"),
        ("CPU us each", f"{pace['cpu_us']:.0f}", f"{formula['cpu_s'] * 1e6:.0f}"),
        ("seconds", f"{simulated['took_s']:.1f}", f"{figures['events'] / formula['per_s']:.1f}"),
    ]


def _waits(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    simulated, formula = figures["simulated"], figures["formula"]
    return [
        ("webhooks per s", f"{figures['per_s']:,.0f}", f"at most {formula['per_s']:,.0f}"),
        ("p50 ms", f"{simulated['p50_s'] * 1000:,.1f}", ""),
        ("p99 ms", f"{simulated['p99_s'] * 1000:,.1f}", ""),
        ("mean ms", f"{simulated['mean_s'] * 1000:,.1f}", f"from {formula['held_s'] * 1000:,.1f}"),
        ("left at the end", simulated["left"], _left(figures)),
        ("share of the CPUs", f"{simulated['busy']:.2f}", f"{formula['busy']:.2f}"),
        ("in use where it is fullest", "", f"{formula['fullest']:.2f}"),
    ]


def _left(figures: Mapping[str, Any]) -> str:
    """Little's law, as long as nothing waits; where more comes than goes it has no end."""
    formula = figures["formula"]
    if figures["per_s"] >= formula["per_s"] or formula["fullest"] >= 1:
        return "grows"
    return f"from {figures['per_s'] * formula['held_s']:,.0f}"
