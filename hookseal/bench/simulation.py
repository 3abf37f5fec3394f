"""Deliveries in simulated time: how fast, how long, with what no bench on two cores shows.

A discrete-event simulation of workers that deliver partitions to receivers who take their
time, after the rules of `hookseal.delivery`: lines, the window, room on the wire, one CPU for
each process. Not in it: Kafka, rebalances, suspensions, broadcasts, several endpoints of one
event, an endpoint's own limits. `hookseal.bench.capacity` has the formulas that it is held
against.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, repeat
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING

from hookseal.bench.meter import Sample, pace_of
from hookseal.bench.sim_engine import Engine, chance
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from hookseal.bench.meter import Pace
    from hookseal.bench.sim_model import Journey, Model

__all__ = ["Drained", "Waits", "drain", "exponential", "open_loop", "simulate"]

# Before the first tenth of the events has come, the lines are emptier than they will be.
_WARM = 0.1


@dataclass(frozen=True, slots=True)
class Drained:
    """What came of events that all were there from the beginning.

    Attributes:
        pace: Webhooks a second between a tenth and nine tenths of them, and CPU for each.
        took_s: Seconds until the last was done.
        accepted: Events.
        dead_letters: Events.
        attempts: In all.
    """

    pace: Pace
    took_s: float
    accepted: int
    dead_letters: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Waits:
    """How long events took from when they were due until they were accepted.

    Without the first tenth of the events, and without dead letters.

    Attributes:
        mean_s: Seconds, as all below.
        p50_s: Half of the events took no longer.
        p99_s: 99 of 100 took no longer.
        most_s: None took longer.
        busy: Share of the processes' CPUs that was used, until the last event was due.
        left: Events not done when the last one was due. It grows with the run if more comes
            than can be delivered; then the seconds say nothing.
        dead_letters: Events.
    """

    mean_s: float
    p50_s: float
    p99_s: float
    most_s: float
    busy: float
    left: int
    dead_letters: int


def simulate(model: Model, due: Iterable[float], *, seed: int = 0) -> list[Journey]:
    """Return the way of an event for each moment at which one is due, in that order.

    Args:
        model: What is simulated.
        due: Seconds, none earlier than the one before.
        seed: The same seed and model make the same journeys.
    """
    return Engine(model, seed).run(due)


def drain(model: Model, *, events: int = 20_000, seed: int = 0) -> Drained:
    """Deliver events that are all there from the beginning, as `hookseal bench` does.

    Raises:
        HooksealError: `bench_too_short`, with so few events that there is no rate.
    """
    journeys = simulate(model, repeat(0.0, events), seed=seed)
    ended = sorted(journeys, key=attrgetter("done_s"))
    attempts = accumulate((one.attempts for one in ended), initial=0)
    samples = [
        Sample(at_s, done, made * model.cpu_s)
        for done, (at_s, made) in enumerate(
            zip([0.0, *(one.done_s for one in ended)], attempts, strict=True)
        )
    ]
    accepted = sum(one.accepted for one in journeys)
    return Drained(
        pace=pace_of(samples, events),
        took_s=samples[-1].at_s,
        accepted=accepted,
        dead_letters=events - accepted,
        attempts=sum(one.attempts for one in journeys),
    )


def open_loop(model: Model, *, per_s: float, events: int = 20_000, seed: int = 0) -> Waits:
    """Publish events at a mean rate, whatever becomes of those before.

    Args:
        model: What is simulated.
        per_s: Events a second, > 0; the gaps between them are exponential (Poisson).
        events: In all.
        seed: The same seed, model and rate make the same waits.

    Raises:
        HooksealError: `bench_too_short`, if none was accepted after the first tenth.
    """
    arrivals = chance(seed, "arrivals")
    due = list(accumulate(arrivals.expovariate(per_s) for _ in range(events)))
    journeys = simulate(model, due, seed=seed)
    took = sorted(one.done_s - one.due_s for one in journeys[int(events * _WARM) :] if one.accepted)
    if not took:
        raise HooksealError("bench_too_short", "The run is too short to measure; add events.")
    done = [one for one in journeys if one.done_s <= due[-1]]
    cpu_s = sum(one.attempts for one in done) * model.cpu_s
    return Waits(
        mean_s=sum(took) / len(took),
        p50_s=_percentile(took, 0.5),
        p99_s=_percentile(took, 0.99),
        most_s=took[-1],
        busy=cpu_s / (due[-1] * model.workers),
        left=events - len(done),
        dead_letters=sum(not one.accepted for one in journeys),
    )


def exponential(draws: Random) -> float:
    """Spread latencies as `Model.spread` can: most are short, one of 150 is five times the mean."""
    return draws.expovariate(1.0)


def _percentile(ascending: Sequence[float], share: float) -> float:
    return ascending[ceil(share * len(ascending)) - 1]
