from __future__ import annotations

from typing import Any

from hookseal.domain.letter import Attempted, overview_of


def attempt(event: str, code: str = "accepted", **more: Any) -> Attempted:
    fields: dict[str, Any] = {
        "partition": 0,
        "offset": 0,
        "at_ms": 1_000_500,
        "customer_id": "acme",
        "event_id": event,
        "event_type": "a.b",
        "endpoint_id": "ep_1",
        "attempt": 1,
        "attempt_max": 3,
        "code": code,
        "status": 200,
        "duration_us": 1000,
        "kid": "k",
        "worker": "w",
        "event_offset": 0,
    }
    return Attempted(**(fields | more))


def test_attempts_are_counted_by_second_and_partition() -> None:
    found = overview_of(
        [
            attempt("1"),
            attempt("2", "http_503"),
            attempt("3", at_ms=1_001_000, partition=4),
            attempt("4", at_ms=1_001_999, partition=4),
        ]
    )

    assert found.seconds == {1000: (1, 1), 1001: (2, 0)}
    assert [(one.partition, one.attempts, one.accepted) for one in found.partitions] == [
        (0, 2, 1),
        (4, 2, 2),
    ]


def test_what_is_in_backoff_is_told_the_longest_first() -> None:
    found = overview_of(
        [
            attempt("mended", "http_503", attempt=1),
            attempt("given up", "http_503", attempt=3),
            attempt("a", "http_503", attempt=1, at_ms=1),
            attempt("b", "timeout", attempt=1, at_ms=2),
            attempt("a", "http_500", attempt=2, at_ms=3),
            attempt("mended", attempt=2),
        ]
    )

    (partition,) = found.partitions
    assert [(one.event_id, one.attempt, one.code) for one in partition.held] == [
        ("b", 1, "timeout"),
        ("a", 2, "http_500"),
    ]


def test_no_more_is_told_than_can_be_looked_at() -> None:
    many = [attempt(str(number), "timeout", at_ms=number) for number in range(100)]

    assert [one.event_id for one in overview_of(many).partitions[0].held] == list("01234")


def test_the_time_of_an_attempt_is_that_of_accepted_ones() -> None:
    attempts = [attempt(str(number), duration_us=number) for number in range(1, 101)]

    found = overview_of([*attempts, attempt("x", "timeout", duration_us=10_000_000)])

    assert (found.p50_us, found.p99_us) == (51, 100)
    assert overview_of([]).p50_us is None
