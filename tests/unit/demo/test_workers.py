from __future__ import annotations

import json
from typing import Any

import pytest

from hookseal.demo.workers import WorkLog, share_all


def a_log(*entries: dict[str, Any]) -> WorkLog:
    log = WorkLog()
    log.read(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
    return log


def an_attempt(number: int, code: str = "http_503", event_id: str = "evt_1") -> dict[str, Any]:
    return {
        "event": "delivery.attempted",
        "customer_id": "acme",
        "event_id": event_id,
        "attempt": number,
        "attempt_max": 3,
        "code": code,
    }


def test_the_latest_assignment_counts() -> None:
    log = a_log(
        {"event": "worker.partitions_assigned", "partitions": [0, 1]},
        {"event": "worker.partitions_assigned", "partitions": [1]},
    )

    assert log.partitions == (1,)


def test_a_failed_attempt_with_others_left_is_in_backoff() -> None:
    assert a_log(an_attempt(1), an_attempt(2)).in_backoff == {"acme": 1}
    assert a_log(an_attempt(1), an_attempt(1, event_id="evt_2")).in_backoff == {"acme": 2}


@pytest.mark.parametrize("last", [an_attempt(2, "accepted"), an_attempt(3)])
def test_a_delivery_that_is_decided_is_not_in_backoff(last: dict[str, Any]) -> None:
    log = a_log(an_attempt(1), an_attempt(2), last)

    assert log.in_backoff == {}
    assert log.attempts == 3


def test_what_is_no_line_of_ours_is_passed_over() -> None:
    log = WorkLog()

    log.read(b"| aiokafka=0.14.0 |\n{no json\n[1]\n")

    assert (log.partitions, log.attempts) == (None, 0)


def test_a_line_that_is_not_complete_waits_for_its_rest() -> None:
    line = json.dumps({"event": "worker.partitions_assigned", "partitions": [3]}).encode() + b"\n"
    log = WorkLog()

    log.read(line[:9])
    assert log.partitions is None
    log.read(line[9:])
    assert log.partitions == (3,)


@pytest.mark.parametrize(
    ("held", "shared"),
    [
        ([(0, 2), (1, 3)], True),
        ([(0, 1, 2, 3)], True),
        ([(0, 1, 2, 3), ()], False),
        ([(0, 1, 2, 3), None], False),
        ([(0, 1, 2, 3), (2, 3)], False),
        ([(0, 1), (2,)], False),
    ],
)
def test_workers_share_all_when_each_holds_some_and_nobody_the_same(
    held: list[tuple[int, ...] | None], *, shared: bool
) -> None:
    assert share_all(held, 4) is shared
