from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hookseal.demo.plan import (
    PARTITIONS,
    SCENARIO,
    ReceiverBehaviour,
    is_failing,
    planned_events,
)
from hookseal.kafka.partitioner import partition_of


def test_each_partition_has_a_tenant_of_its_own() -> None:
    partitions = [partition_of(role.customer_id, PARTITIONS) for role in SCENARIO]

    assert sorted(partitions) == list(range(PARTITIONS))


def test_every_kind_of_key_and_of_receiver_is_on_stage() -> None:
    assert {role.alg for role in SCENARIO} == {"rsa-2048", "rsa-3072", "rsa-4096", "p256", "x25519"}
    assert {role.receiver for role in SCENARIO} == set(ReceiverBehaviour)


def test_the_same_seed_plans_the_same_events() -> None:
    assert planned_events(300, 7) == planned_events(300, 7)
    assert planned_events(300, 7) != planned_events(300, 8)


def test_as_many_events_are_planned_as_were_asked_for_and_every_tenant_gets_some() -> None:
    counts = Counter(event.customer_id for event in planned_events(300, 1))

    assert counts.total() == 300
    assert set(counts) == {role.customer_id for role in SCENARIO}


def test_a_receiver_that_fails_now_and_then_never_fails_twice_in_a_row() -> None:
    for seed in range(12):
        failing = [is_failing(request, seed) for request in range(1, 100)]

        assert any(failing)
        assert (True, True) not in pairwise(failing)
