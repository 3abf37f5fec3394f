"""Bounds by their names, against the formula of their least; what is fullest, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.bench.capacity import deployment_per_s
from hookseal.bench.capacity_bounds import BOUNDS, bounds_per_s, fullest, tightest
from hookseal.bench.sim_model import Bounds, Model
from hookseal.domain.backoff import Backoff

A_MODEL = Model(partitions=4, customers=40, latency_s=0.0496, cpu_s=0.0004, placing="even")


@given(
    st.builds(
        Model,
        partitions=st.integers(1, 40),
        workers=st.integers(1, 9),
        customers=st.integers(1, 60),
        ordering=st.sampled_from(["partition", "customer", "unordered"]),
        latency_s=st.sampled_from([0.0, 0.001, 0.05, 2.0]),
        cpu_s=st.sampled_from([0.0001, 0.004]),
        bounds=st.builds(
            Bounds,
            window=st.integers(1, 40),
            at_a_time=st.integers(1, 20),
            each=st.integers(1, 30),
            connections=st.integers(1, 40),
        ),
        failing=st.sampled_from([0.0, 0.4]),
        backoff=st.just(Backoff(base_s=0.1, max_attempts=3)),
        placing=st.just("even"),
    )
)
def test_the_least_bound_is_what_a_deployment_does(model: Model) -> None:
    found = bounds_per_s(model)

    assert found.keys() <= set(BOUNDS)
    assert min(found.values()) == pytest.approx(deployment_per_s(model))
    assert found[tightest(model)] == min(found.values())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (A_MODEL, "lines"),
        (replace(A_MODEL, ordering="customer", bounds=Bounds(window=2)), "window"),
        (replace(A_MODEL, ordering="customer", bounds=Bounds(at_a_time=2)), "room on the wire"),
        (replace(A_MODEL, bounds=Bounds(connections=2)), "connections"),
        (replace(A_MODEL, latency_s=0.0), "CPU"),
        (replace(A_MODEL, latency_s=0.0, cpu_s=0.0), "nothing"),
    ],
    ids=str,
)
def test_the_tightest_has_a_name(model: Model, name: str) -> None:
    assert tightest(model) == name


class TestFullest:
    def test_is_the_rate_over_what_is_carried_where_all_are_alike(self) -> None:
        # 4 lines of 20 a second.
        assert fullest(A_MODEL, 40) == pytest.approx(0.5)

    def test_is_the_partition_with_most_customers(self) -> None:
        # The first of four has two of five.
        assert fullest(replace(A_MODEL, customers=5), 40) == pytest.approx(40 * 2 / 5 / 20)

    def test_is_the_process_with_most_customers(self) -> None:
        model = replace(A_MODEL, partitions=3, workers=2, customers=3, latency_s=0.0)

        # Of three partitions the first process has two.
        assert fullest(model, 3000) == pytest.approx(2000 / 2500)

    def test_of_few_customers_is_their_own_line(self) -> None:
        model = replace(A_MODEL, ordering="customer", customers=8)

        assert fullest(model, 80) == pytest.approx(80 / 8 / 20)
