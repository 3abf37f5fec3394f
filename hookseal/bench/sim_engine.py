"""The clock of the simulation: what happens next, until nothing is left."""

from __future__ import annotations

import math
from heapq import heappop, heappush, heapreplace
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from hookseal.bench.sim_model import Journey
from hookseal.bench.sim_partition import Room, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.bench.sim_model import Model

__all__ = ["Engine", "Process", "chance"]


def chance(seed: int, what: str) -> Random:
    """Return draws of their own for each purpose.

    So that another model under the same seed still sees the same customers and arrivals.
    """
    return Random(f"{seed} {what}")  # noqa: S311 - to be the same again, not to be secret


class Process:
    """One worker process: one CPU and so many connections, both first come, first served."""

    def __init__(self, connections: int) -> None:
        """Begin idle."""
        self._cpu_free_s = 0.0
        self._free_s = [0.0] * connections

    def attempt(self, now_s: float, cpu_s: float, latency_s: float) -> float:
        """Return when an attempt that begins now has its answer.

        Whoever came earlier is served earlier, so that it is known at once: no event is needed
        for what lies between.
        """
        self._cpu_free_s = sealed_s = max(now_s, self._cpu_free_s) + cpu_s
        answered_s = max(sealed_s, self._free_s[0]) + latency_s
        heapreplace(self._free_s, answered_s)
        return answered_s


class Engine:
    """One run."""

    def __init__(self, model: Model, seed: int) -> None:
        """Prepare; the same model and seed make the same run."""
        self._model = model
        self._latencies = chance(seed, "latencies")
        self._failures = chance(seed, "failures")
        self._customers = chance(seed, "customers")
        self._processes = [Process(model.bounds.connections) for _ in range(model.workers)]
        ordering, bounds = model.ordering, model.bounds
        self._rooms = [Room(ordering, bounds, self._attempt) for _ in range(model.partitions)]
        self._turns = [Turns(ordering, bounds, self._want) for _ in range(model.partitions)]
        self._now_s = 0.0
        self._agenda: list[tuple[float, int, Callable[[Journey], None], Journey]] = []
        # What is due at the same moment happens in the order in which it was planned.
        self._ticket = count()

    def run(self, due: Iterable[float]) -> list[Journey]:
        """Deliver an event for each of these moments, and return their journeys.

        Args:
            due: Seconds, none earlier than the one before.
        """
        journeys = [self._journey(number, due_s) for number, due_s in enumerate(due)]
        for journey in journeys:
            self._go_on(journey.due_s)
            self._now_s = journey.due_s
            self._turns[journey.partition].arrive(journey)
        self._go_on(math.inf)
        return journeys

    def _journey(self, number: int, due_s: float) -> Journey:
        customer = self._customers.randrange(self._model.customers)
        return Journey(number, customer, self._model.home_of(customer), due_s)

    def _go_on(self, until_s: float) -> None:
        while self._agenda and self._agenda[0][0] <= until_s:
            self._now_s, _, happen, journey = heappop(self._agenda)
            happen(journey)

    def _plan(self, at_s: float, happen: Callable[[Journey], None], journey: Journey) -> None:
        heappush(self._agenda, (at_s, next(self._ticket), happen, journey))

    def _want(self, journey: Journey) -> None:
        self._rooms[journey.partition].enter(journey)

    def _attempt(self, journey: Journey) -> None:
        journey.attempts += 1
        if journey.attempts == 1:
            journey.began_s = self._now_s
        model = self._model
        process = self._processes[journey.partition % model.workers]
        answered_s = process.attempt(self._now_s, model.cpu_s, self._latency_s())
        self._plan(answered_s, self._answered, journey)

    def _latency_s(self) -> float:
        spread = self._model.spread
        return self._model.latency_s * (1.0 if spread is None else spread(self._latencies))

    def _answered(self, journey: Journey) -> None:
        # Room first: a backoff takes none.
        self._rooms[journey.partition].leave(journey)
        backoff = self._model.backoff
        journey.accepted = self._failures.random() >= self._model.failing
        if not journey.accepted and journey.attempts < backoff.attempts:
            wait_s = backoff.delay_after(journey.attempts, draw=self._failures.random())
            self._plan(self._now_s + wait_s, self._want, journey)
            return
        journey.done_s = self._now_s
        self._turns[journey.partition].finish(journey)
