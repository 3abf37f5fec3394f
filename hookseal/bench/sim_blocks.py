"""What the simulation says in `docs/capacity.md`: the text between its marks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hookseal.bench.capacity import Demand, Work, deployment_per_s
from hookseal.bench.capacity_blocks import markdown
from hookseal.bench.capacity_bounds import fullest, tightest
from hookseal.bench.capacity_table import plan_for
from hookseal.bench.scenario import CUSTOMERS, PARTITIONS
from hookseal.bench.sim_model import Bounds, Model
from hookseal.bench.simulation import drain, open_loop

if TYPE_CHECKING:
    from typing import Literal

    from hookseal.bench.simulation import Waits
    from hookseal.delivery.lanes.turns import Ordering

__all__ = ["CASES", "NOT_MEASURED", "Case", "compared", "runs", "wait", "waits"]

NOT_MEASURED: Final = "<!-- measured -->"

_PER_S = 1000.0
_LATENCY_S = 0.05
_WAITS_EVENTS = 20_000
_DRAIN_EVENTS = 5_000
# As `hookseal bench --distance`: in the order `partition` no more than a run of 15 s has.
_LINES_S = 15.0
_DISTANCE_CUSTOMERS = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """A deployment that is planned, and whose customers are placed.

    Attributes:
        ordering: Who waits for whom.
        placing: As `Model.placing`.
        times: Customers, as many times those that there must be.
        utilisation: Share of what can be carried that is planned with.
    """

    ordering: Ordering
    placing: Literal["hashed", "even"]
    times: int
    utilisation: float


CASES: Final = (
    Case("partition", "even", 1, 0.6),
    Case("partition", "hashed", 1, 0.6),
    Case("partition", "hashed", 1, 0.3),
    Case("partition", "hashed", 10, 0.6),
    Case("partition", "hashed", 10, 0.3),
    Case("partition", "hashed", 100, 0.6),
    Case("partition", "hashed", 100, 0.3),
    Case("customer", "hashed", 1, 0.6),
    Case("customer", "hashed", 1, 0.3),
    Case("unordered", "hashed", 1, 0.6),
)


def wait(case: Case) -> tuple[Model, Waits]:
    """Return what is deployed, and how long events take in the simulation."""
    demand = Demand(_PER_S, case.ordering, Work(_LATENCY_S), utilisation=case.utilisation)
    found = plan_for(demand)
    model = Model(
        partitions=found.partitions,
        workers=found.workers,
        customers=found.customers * case.times,
        ordering=case.ordering,
        latency_s=_LATENCY_S,
        placing=case.placing,
    )
    return model, open_loop(model, per_s=_PER_S, events=_WAITS_EVENTS)


def waits() -> str:
    """Return how long events take, by how customers are placed."""
    rows = []
    for case in CASES:
        model, found = wait(case)
        used = fullest(model, _PER_S)
        # Behind a partition that has more than it carries they grow with the run.
        p99 = f"{found.p99_s * 1000:,.0f} ms" if used < 1 else "grows without end"
        rows.append(
            (
                f"`{case.ordering}`",
                "one by one" if case.placing == "even" else "by hash",
                f"{case.utilisation:.0%}",
                model.partitions,
                model.customers,
                f"{used:.0%}",
                f"{found.p50_s * 1000:,.0f} ms",
                p99,
            )
        )
    columns = (
        *("order", "customers are placed", "planned with", "partitions", "customers"),
        *("in use where it is fullest", "p50", "p99"),
    )
    return markdown(columns, rows)


def compared() -> list[tuple[str, str, Model, int]]:
    """Return what is measured, how it is set, its model, and its events."""
    far = Model(partitions=PARTITIONS, customers=_DISTANCE_CUSTOMERS, latency_s=_LATENCY_S)
    near = replace(far, customers=CUSTOMERS, latency_s=0.0, placing="even")
    wide = Bounds(at_a_time=256)
    found = []
    for latency_s in (0.05, 0.2):
        late = replace(far, latency_s=latency_s)
        name = f"`--distance`, {latency_s * 1000:.0f} ms"
        lines = round(_LINES_S * PARTITIONS / latency_s)
        found += [
            (name, "`partition`", late, lines),
            (name, "`customer`", replace(late, ordering="customer"), _DRAIN_EVENTS),
            (
                name,
                "`customer`, `HOOKSEAL_MAX_IN_FLIGHT=256`",
                replace(late, ordering="customer", bounds=wide),
                _DRAIN_EVENTS,
            ),
        ]
    for processes in (1, 2):
        name = f"`--scale`, {processes} process{'es' * (processes > 1)}"
        found.append((name, "`partition`", replace(near, workers=processes), _DRAIN_EVENTS))
    return found


def runs(before: str) -> str:
    """Return formula, simulation and measurement of the same runs.

    Args:
        before: The block as it stands; what it has in its last column is kept.
    """
    measured = _measured(before)
    rows = []
    for name, way, model, events in compared():
        drained = drain(model, events=events)
        rows.append(
            (
                name,
                way,
                tightest(model),
                f"{deployment_per_s(model):,.0f}",
                f"{drained.pace.per_s:,.0f}",
                measured.get((name, way), NOT_MEASURED),
            )
        )
    columns = ("run", "order", "bound by", "formula", "simulated", "measured")
    return markdown(columns, rows)


def _measured(block: str) -> dict[tuple[str, str], str]:
    found = {}
    for line in block.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        found[cells[0], cells[1] if len(cells) > 1 else ""] = cells[-1]
    return found
