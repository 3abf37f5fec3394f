"""The simulation against the formulas, queueing theory, and the code that it is a model of."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise, repeat
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookseal.bench.capacity import deployment_per_s
from hookseal.bench.sim_engine import Process
from hookseal.bench.sim_model import Bounds, Journey, Model, bounds_of
from hookseal.bench.sim_partition import Room, Turns
from hookseal.bench.simulation import drain, exponential, open_loop, simulate
from hookseal.config import Settings
from hookseal.delivery.lane import Lane
from hookseal.delivery.lanes import Lanes, Limits, Progress
from hookseal.delivery.lanes.turns import turns_of
from hookseal.domain.backoff import Backoff
from hookseal.errors import HooksealError
from tests.builders import a_record
from tests.fakes import FakeClock, RecordingObserver
from tests.lanes import steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.delivery.lanes.turns import Ordering
    from hookseal.domain.record import Record

A_PARTITION = Model(partitions=1, customers=40, latency_s=0.05, cpu_s=0.0004, placing="even")
BY_CUSTOMER = replace(A_PARTITION, ordering="customer")
UNORDERED = replace(A_PARTITION, ordering="unordered")
ORDERINGS: tuple[Ordering, ...] = ("partition", "customer", "unordered")

# What is the least of all bounds, and is well below the next.
REGIMES = {
    "one line": A_PARTITION,
    "one line a partition": replace(A_PARTITION, partitions=6),
    "one line, the CPU only": replace(A_PARTITION, latency_s=0.0),
    "one CPU for many partitions": replace(A_PARTITION, partitions=200, customers=200, cpu_s=0.001),
    "CPUs of three workers": replace(
        A_PARTITION, partitions=600, workers=3, customers=600, cpu_s=0.001
    ),
    "a line for each of few customers": replace(BY_CUSTOMER, customers=5),
    "fewer customers than partitions": replace(BY_CUSTOMER, partitions=6, customers=4),
    "room on the wire, by customer": replace(BY_CUSTOMER, customers=1000),
    "the window": replace(BY_CUSTOMER, customers=1000, bounds=Bounds(window=8)),
    "room on the wire, unordered": UNORDERED,
    "each customer's room": replace(UNORDERED, customers=2),
    "the CPU, unordered": replace(UNORDERED, cpu_s=0.005),
    "connections": replace(UNORDERED, partitions=4, bounds=Bounds(connections=20)),
    "one line that fails": replace(
        A_PARTITION, failing=0.3, backoff=Backoff(base_s=0.1, max_attempts=4)
    ),
    "room on the wire with failures": replace(
        UNORDERED, failing=0.3, backoff=Backoff(base_s=0.01, max_attempts=4)
    ),
}


class TestDrain:
    @pytest.mark.parametrize("model", REGIMES.values(), ids=REGIMES.keys())
    def test_comes_up_to_the_formula(self, model: Model) -> None:
        drained = drain(model, events=2000)

        assert drained.pace.per_s == pytest.approx(deployment_per_s(model), rel=0.04)

    def test_of_one_line_is_one_over_latency_and_cpu(self) -> None:
        assert drain(A_PARTITION, events=500).pace.per_s == pytest.approx(1 / 0.0504)

    def test_of_many_customers_with_next_to_no_cpu_is_lines_over_latency(self) -> None:
        model = replace(BY_CUSTOMER, cpu_s=1e-7, customers=8)

        assert drain(model, events=4000).pace.per_s == pytest.approx(8 / 0.05, rel=0.03)

    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_without_latency_is_what_the_cpu_does(self, ordering: Ordering) -> None:
        drained = drain(replace(A_PARTITION, ordering=ordering, latency_s=0.0), events=500)

        assert drained.pace.per_s == pytest.approx(1 / 0.0004)
        assert drained.pace.cpu_us == pytest.approx(400)

    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_of_spread_latencies_is_that_of_their_mean(self, ordering: Ordering) -> None:
        model = replace(A_PARTITION, ordering=ordering, spread=exponential)

        drained = drain(model, events=2000)

        assert drained.pace.per_s == pytest.approx(deployment_per_s(model), rel=0.08)

    def test_accepts_or_gives_up_each_event(self) -> None:
        schedule = Backoff(base_s=0.1, max_attempts=2)

        drained = drain(replace(BY_CUSTOMER, failing=0.5, backoff=schedule), events=2000)

        assert drained.accepted + drained.dead_letters == 2000
        assert drained.dead_letters == pytest.approx(500, rel=0.1)
        assert drained.attempts == pytest.approx(3000, rel=0.05)

    def test_of_too_few_has_no_rate(self) -> None:
        with pytest.raises(HooksealError, match="bench_too_short"):
            drain(A_PARTITION, events=0)


class TestOpenLoop:
    """Held against Pollaczek and Khinchine: Kleinrock, "Queueing Systems", volume 1, 5.6."""

    @pytest.mark.parametrize("load", [0.3, 0.7])
    @pytest.mark.parametrize(
        ("model", "service_s"),
        [
            (A_PARTITION, 0.0504),
            (replace(UNORDERED, latency_s=0.0, bounds=Bounds(at_a_time=10**6, each=10**6)), 0.0004),
        ],
        ids=["one line", "one CPU"],
    )
    def test_waits_as_an_m_d_1_queue(self, model: Model, service_s: float, load: float) -> None:
        waits = open_loop(model, per_s=load / service_s, events=8000, seed=2)

        expected_s = service_s * (1 + load / (2 * (1 - load)))
        assert waits.mean_s == pytest.approx(expected_s, rel=0.06)

    def test_waits_longer_where_latencies_are_spread(self) -> None:
        # M/M/1, with no CPU: the mean is service / (1 - load).
        model = replace(A_PARTITION, cpu_s=0.0, spread=exponential)

        waits = open_loop(model, per_s=10, events=12_000, seed=2)

        assert waits.mean_s == pytest.approx(0.05 / (1 - 0.5), rel=0.06)
        assert waits.p50_s == pytest.approx(0.1 * 0.693, rel=0.08)
        assert waits.p99_s == pytest.approx(0.1 * 4.605, rel=0.12)

    def test_of_a_quiet_deployment_is_latency_and_cpu(self) -> None:
        waits = open_loop(UNORDERED, per_s=1, events=200)

        assert waits.p50_s == pytest.approx(0.0504)
        assert waits.most_s < 0.06
        assert waits.left <= 1

    def test_uses_the_cpus_by_the_rate(self) -> None:
        model = replace(UNORDERED, partitions=4, workers=2)

        assert open_loop(model, per_s=1000, events=4000).busy == pytest.approx(0.2, rel=0.1)

    def test_leaves_ever_more_where_more_comes_than_goes(self) -> None:
        few = open_loop(A_PARTITION, per_s=40, events=500)
        many = open_loop(A_PARTITION, per_s=40, events=1000)

        assert few.left == pytest.approx(250, rel=0.2)
        assert many.left == pytest.approx(500, rel=0.2)

    def test_counts_backoff_and_dead_letters(self) -> None:
        schedule = Backoff(delays_s=(1000.0,), jitter=0.0)

        waits = open_loop(replace(UNORDERED, failing=0.7, backoff=schedule), per_s=1, events=500)

        assert waits.dead_letters == pytest.approx(500 * 0.7**2, rel=0.1)
        assert waits.most_s == pytest.approx(1000 + 2 * 0.0504, abs=0.02)

    def test_of_none_that_was_accepted_has_no_times(self) -> None:
        with pytest.raises(HooksealError, match="bench_too_short"):
            open_loop(A_PARTITION, per_s=1, events=0)


MODELS = st.builds(
    Model,
    partitions=st.integers(1, 4),
    workers=st.integers(1, 3),
    customers=st.integers(1, 6),
    ordering=st.sampled_from(ORDERINGS),
    latency_s=st.sampled_from([0.0, 0.01, 0.5]),
    cpu_s=st.sampled_from([0.0, 0.001]),
    bounds=st.builds(
        Bounds,
        window=st.integers(1, 9),
        waiting=st.integers(0, 3),
        at_a_time=st.integers(1, 4),
        each=st.integers(1, 3),
        connections=st.integers(1, 3),
    ),
    spread=st.sampled_from([None, exponential]),
    failing=st.sampled_from([0.0, 0.4]),
    backoff=st.just(Backoff(base_s=0.2, max_attempts=3)),
)


class TestSimulate:
    @given(model=MODELS, gap_s=st.sampled_from([0.0, 0.01]), seed=st.integers(0, 9))
    @settings(max_examples=40, deadline=None)
    def test_ends_each_event_and_keeps_the_order_of_each_line(
        self, model: Model, gap_s: float, seed: int
    ) -> None:
        journeys = simulate(model, (gap_s * number for number in range(40)), seed=seed)

        assert all(one.due_s <= one.began_s <= one.done_s for one in journeys)
        assert all(one.accepted or one.attempts == 3 for one in journeys)
        for line in lines_of(model, journeys):
            for before, behind in pairwise(line):
                assert behind.began_s >= before.done_s

    @given(model=MODELS, seed=st.integers(0, 9))
    @settings(max_examples=20, deadline=None)
    def test_is_the_same_under_the_same_seed(self, model: Model, seed: int) -> None:
        due = [0.01 * number for number in range(30)]

        assert simulate(model, due, seed=seed) == simulate(model, due, seed=seed)

    def test_is_another_under_another_seed(self) -> None:
        assert drain(UNORDERED, events=300, seed=1) == drain(UNORDERED, events=300, seed=1)
        assert simulate(UNORDERED, repeat(0.0, 300), seed=1) != simulate(
            UNORDERED, repeat(0.0, 300), seed=2
        )

    def test_sees_the_same_customers_whatever_the_order(self) -> None:
        by_customer, unordered = (
            [one.customer for one in simulate(model, repeat(0.0, 100))]
            for model in (BY_CUSTOMER, UNORDERED)
        )

        assert by_customer == unordered

    def test_a_line_that_is_full_holds_the_partition(self) -> None:
        # Customers 0, 1, 0, 0, ...: with room for one that waits, the third of customer 0 keeps
        # customer 1 from being taken.
        began: list[int] = []
        turns = Turns("customer", Bounds(waiting=1), lambda one: began.append(one.number))
        journeys = [Journey(n, customer, 0, 0.0) for n, customer in enumerate([0, 0, 0, 1])]

        for journey in journeys:
            turns.arrive(journey)
        assert began == [0]
        turns.finish(journeys[0])

        assert began == [0, 1, 3]


class TestProcess:
    def test_attempts_share_the_cpu_and_wait_for_connections(self) -> None:
        process = Process(connections=2)

        assert [process.attempt(0.0, 1.0, 10.0) for _ in range(3)] == [11, 12, 21]
        assert process.attempt(100.0, 1.0, 10.0) == 111


class TestModel:
    def test_bounds_are_those_of_the_settings(self) -> None:
        as_they_are = Settings(
            buffer_events=1024, lane_limit=100, max_in_flight=32, max_in_flight_per_customer=8
        )
        others = Settings(
            buffer_events=99, lane_limit=5, max_in_flight=7, max_in_flight_per_customer=3
        )

        assert bounds_of(as_they_are) == Bounds()
        assert bounds_of(others) == Bounds(window=99, waiting=5, at_a_time=7, each=3)

    def test_customers_are_placed_as_kafka_does_or_evenly(self) -> None:
        hashed, even = (Model(placing=placing) for placing in ("hashed", "even"))

        assert [even.home_of(customer) for customer in range(8)] == [0, 1, 2, 3, 4, 5, 0, 1]
        assert {hashed.home_of(customer) for customer in range(100)} == set(range(6))

    @pytest.mark.parametrize(
        "changes", [{"partitions": 0}, {"latency_s": -1}, {"failing": 1.0}, {"failing": -0.1}]
    )
    def test_what_cannot_be_is_refused(self, changes: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=r"at least one|not negative"):
            replace(A_PARTITION, **changes)  # type: ignore[arg-type]


class Real:
    """The lanes of a worker, whose attempts end when the test says so."""

    def __init__(self, ordering: Ordering, bounds: Bounds) -> None:
        limits = Limits(events=bounds.window, waiting=bounds.waiting)
        lane = Lane(
            0,
            clock=FakeClock(),
            observer=RecordingObserver(),
            at_a_time=None if ordering == "partition" else bounds.at_a_time,
            each=None if ordering == "partition" else bounds.each,
        )
        self.began: list[int] = []
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._lanes = Lanes(
            lane,
            progress=Progress(),
            work=self._work,
            turns=turns_of(ordering, self),
            limits=Limits(events=1, waiting=0) if ordering == "partition" else limits,
            now=lambda: 0.0,
        )

    def customers(self, record: Record) -> None:
        return None

    async def feed(self, customers: Sequence[int]) -> None:
        for offset, customer in enumerate(customers):
            await self._lanes.take(a_record(key=b"%d" % customer, offset=offset))

    async def end(self, offset: int) -> None:
        self._answers.pop(offset).set_result(None)
        await steps()

    async def _work(self, record: Record, lane: Lane, customer_id: str | None = None) -> None:
        name = str(record.key)
        await lane.begin_attempt(name)
        self.began.append(record.offset)
        self._answers[record.offset] = answer = asyncio.get_running_loop().create_future()
        await answer
        lane.end_attempt(name)


class Simulated:
    """The same in the simulation."""

    def __init__(self, ordering: Ordering, bounds: Bounds) -> None:
        self.began: list[int] = []
        self._room = Room(ordering, bounds, lambda one: self.began.append(one.number))
        self._turns = Turns(ordering, bounds, self._room.enter)
        self._journeys: list[Journey] = []

    def feed(self, customers: Sequence[int]) -> None:
        self._journeys = [Journey(n, customer, 0, 0.0) for n, customer in enumerate(customers)]
        for journey in self._journeys:
            self._turns.arrive(journey)

    def end(self, offset: int) -> None:
        self._room.leave(self._journeys[offset])
        self._turns.finish(self._journeys[offset])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ordering", ORDERINGS)
async def test_begins_what_the_lanes_of_a_worker_begin(ordering: Ordering, seed: int) -> None:
    chance = Random(seed)  # noqa: S311 - a seed, not a secret
    bounds = Bounds(window=chance.randint(2, 12), waiting=chance.randint(0, 3), at_a_time=4, each=2)
    customers = [chance.randrange(5) for _ in range(40)]
    real, simulated = Real(ordering, bounds), Simulated(ordering, bounds)
    feeding = asyncio.create_task(real.feed(customers))
    simulated.feed(customers)
    await steps()
    ended: set[int] = set()

    while len(ended) < len(customers):
        assert set(real.began) == set(simulated.began)
        offset = chance.choice(sorted(set(simulated.began) - ended))
        ended.add(offset)
        simulated.end(offset)
        await real.end(offset)

    await feeding
    assert sorted(real.began) == list(range(40))


def lines_of(model: Model, journeys: list[Journey]) -> list[list[Journey]]:
    lines: defaultdict[int, list[Journey]] = defaultdict(list)
    for one in journeys:
        if model.ordering == "partition":
            lines[one.partition].append(one)
        elif model.ordering == "customer":
            lines[one.customer].append(one)
    return list(lines.values())
