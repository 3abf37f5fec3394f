"""What binds a deployment: each bound by its name, and what is in use where it is fullest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from hookseal.bench.capacity import partition_per_s, process_per_s, work_of

if TYPE_CHECKING:
    from hookseal.bench.sim_model import Model

__all__ = ["BOUNDS", "bounds_per_s", "fullest", "tightest"]

BOUNDS: Final = ("lines", "window", "room on the wire", "connections", "CPU")


def bounds_per_s(model: Model) -> dict[str, float]:
    """Return what each of `BOUNDS` lets through alone, in webhooks a second.

    The least of them is `deployment_per_s`. One that the order does not have is left out.
    """
    work, bounds = work_of(model), model.bounds
    partitions = min(model.partitions, model.customers)
    workers = min(model.workers, partitions)
    lines = partitions if model.ordering == "partition" else model.customers
    # Unordered: a customer's share of the room stands for its line, and no backoff holds it.
    each, held_s = 1, work.held_s
    if model.ordering == "unordered":
        each, held_s = min(bounds.each, bounds.at_a_time), work.wire_s
    places = {
        "lines": (lines * each, held_s),
        "window": (partitions * bounds.window, work.held_s),
        "room on the wire": (partitions * bounds.at_a_time, work.wire_s),
        "connections": (workers * bounds.connections, work.attempts * work.latency_s),
        "CPU": (workers, work.busy_s),
    }
    if model.ordering == "partition":
        del places["window"], places["room on the wire"]
    return {name: count / each_s for name, (count, each_s) in places.items() if each_s}


def tightest(model: Model) -> str:
    """Return the name of the bound that is met first."""
    found = bounds_per_s(model)
    return min(found, key=found.__getitem__, default="nothing")


def fullest(model: Model, per_s: float) -> float:
    """Return the share in use of the fullest partition or process; from 1 on it falls behind.

    That is for customers with as many events as the next, placed as the model places them: a
    hash gives one partition more of them than another.
    """
    work = work_of(model)
    each_per_s = per_s / model.customers
    homes = Counter(model.home_of(customer) for customer in range(model.customers))
    shares = [
        count * each_per_s / partition_per_s(model.ordering, work, model.bounds, customers=count)
        for count in homes.values()
    ]
    loads: Counter[int] = Counter()
    for home, count in homes.items():
        loads[home % model.workers] += count
    process = process_per_s(work, model.bounds)
    return max(*shares, *(count * each_per_s / process for count in loads.values()))
