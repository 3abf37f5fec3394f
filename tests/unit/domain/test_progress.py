from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.delivery.ordering import offset_metadata
from hookseal.domain.progress import (
    OldestEvent,
    PartitionProgress,
    PartitionState,
    Worker,
    state_of,
)
from tests.unit.domain.test_overview import attempt

WORKER = Worker("w", "faust", "10.0.0.1", (0,))
NOW_MS = 2_000_000
OLDEST = OldestEvent(offset=7, at_ms=NOW_MS - 40_000, customer_id="acme", event_id="evt_1")


def found(lag: int = 3, **more: Any) -> PartitionProgress:
    return PartitionProgress(0, lag, committed=7, end=10, **{"oldest": OLDEST, **more})


def state(progress: PartitionProgress, **more: Any) -> PartitionState:
    fields: dict[str, Any] = {
        "worker": WORKER,
        "is_rebalancing": False,
        "attempts": [],
        "now_ms": NOW_MS,
    }
    return state_of(progress, **(fields | more))


def test_a_partition_without_a_worker_says_so_even_if_nothing_waits() -> None:
    assert state(found(0, oldest=None), worker=None) == PartitionState("no_worker")
    assert state(found(), worker=None) == PartitionState("no_worker", OLDEST.at_ms)


def test_a_partition_that_is_being_assigned_is_not_without_a_worker() -> None:
    assert state(found(), worker=None, is_rebalancing=True).name == "rebalancing"


def test_a_partition_where_nothing_waits_is_idle() -> None:
    assert state(found(0, oldest=None)) == PartitionState("idle")


def test_an_open_transaction_is_named_only_if_all_stable_events_are_done() -> None:
    assert state(found(0, oldest=None, open_since_ms=5)) == PartitionState("open_transaction", 5)
    assert state(found(open_since_ms=5), attempts=[attempt("evt_1")]).name == "delivering"


def test_the_delivery_that_has_waited_longest_holds_the_partition() -> None:
    first = attempt("evt_1", "http_503", endpoint_id="ep_1", at_ms=1)
    second = attempt("evt_1", "timeout", endpoint_id="ep_1", attempt=2, at_ms=30)
    other = attempt("evt_1", "http_500", endpoint_id="ep_2", at_ms=20)

    assert state(found(), attempts=[second, other, first]) == PartitionState(
        "backoff", OLDEST.at_ms, other
    )


@pytest.mark.parametrize(
    "last",
    [attempt("evt_1", at_ms=9), attempt("evt_1", "http_503", attempt=3, at_ms=9)],
    ids=["accepted", "the last attempt"],
)
def test_a_delivery_that_ended_holds_nothing(last: Any) -> None:
    failed = attempt("evt_1", "http_503", at_ms=1)

    assert state(found(), attempts=[failed, last]).name == "delivering"


def test_an_old_event_without_an_attempt_is_told_from_a_new_one() -> None:
    assert state(found()).name == "not_attempted"
    new = OLDEST._replace(at_ms=NOW_MS - 1)
    assert state(found(oldest=new)).name == "delivering"


@given(
    committed=st.integers(0, 50),
    done=st.sets(st.integers(0, 60)),
    offset=st.integers(0, 120),
)
def test_offsets_are_done_and_counted_as_the_worker_stored_them(
    committed: int, done: set[int], offset: int
) -> None:
    above = sorted(committed + 1 + one for one in done)
    ranges: list[tuple[int, int]] = []
    for one in above:
        if ranges and ranges[-1][1] == one:
            ranges[-1] = (ranges[-1][0], one + 1)
        else:
            ranges.append((one, one + 1))
    stored = offset_metadata.decode(offset_metadata.encode(committed, ranges), committed)
    progress = PartitionProgress(0, 1, start=committed, end=200, done=tuple(stored))

    assert progress.is_done(offset) == (offset < committed or offset in above)
    assert progress.waiting_before(offset) == sum(
        one not in above for one in range(committed, offset)
    )
