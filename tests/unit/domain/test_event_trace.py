from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.domain.dead_letter import SUSPENDED
from hookseal.domain.endpoint import Suspension
from hookseal.domain.event_trace import DeliveryTrace, Traced, deliveries_of, state_of_all
from tests.builders import a_tenant, an_endpoint
from tests.unit.api.test_dead_letters import a_letter
from tests.unit.domain.test_overview import attempt

FAILED_MS = 1_000_000
SUSPENSION = Suspension(since=900.0, why="exhausted", owner="w", letters_from=0)


def traced(**known: Any) -> list[DeliveryTrace]:
    fields: dict[str, Any] = {
        "tenant": a_tenant(),
        "event_type": "order.paid",
        "only_endpoint": None,
        "is_done": True,
        "attempts": [],
        "letters": [],
    }
    return deliveries_of(Traced(**(fields | known)))


def states(**known: Any) -> list[tuple[str | None, str]]:
    return [(one.endpoint_id, one.state) for one in traced(**known)]


def letter(**changes: Any) -> Any:
    return a_letter(1, **{"at_ms": FAILED_MS, **changes})


def failed(number: int = 1, **more: Any) -> Any:
    return attempt("e", "http_503", attempt=number, at_ms=FAILED_MS - 100 + number, **more)


def test_an_event_that_is_not_done_waits_for_its_first_attempt() -> None:
    assert states(is_done=False) == [("ep_1", "waiting")]


@pytest.mark.parametrize("is_done", [True, False])
def test_an_endpoint_that_does_not_subscribe_skips_the_event(*, is_done: bool) -> None:
    tenant = a_tenant("acme", an_endpoint(event_types=("invoice.*", "refund.made")))

    (found,) = traced(tenant=tenant, is_done=is_done)

    assert found.state == "skipped"
    assert "(invoice.*, refund.made) do not include order.paid" in found.detail


def test_events_of_hookseal_s_own_skip_disabled_endpoints_whatever_they_subscribe_to() -> None:
    tenant = a_tenant(
        "acme",
        an_endpoint("ep_1", enabled=False),
        an_endpoint("ep_2", event_types=("invoice.*",)),
    )

    assert states(tenant=tenant, event_type="hookseal.key.changed", is_done=False) == [
        ("ep_1", "skipped"),
        ("ep_2", "waiting"),
    ]


def test_an_event_for_one_endpoint_says_nothing_of_the_others() -> None:
    tenant = a_tenant("acme", an_endpoint("ep_1"), an_endpoint("ep_2"))

    assert states(tenant=tenant, only_endpoint="ep_2", is_done=False) == [("ep_2", "waiting")]


def test_a_done_event_without_a_trace_is_unknown_rather_than_accepted() -> None:
    assert states() == [("ep_1", "unknown")]
    assert states(is_done=None) == [("ep_1", "unknown")]


def test_the_latest_attempt_counts() -> None:
    accepted = attempt("e", attempt=3, at_ms=FAILED_MS)

    assert states(attempts=[failed(1), failed(2)]) == [("ep_1", "backoff")]
    (found,) = traced(attempts=[accepted, failed(2), failed(1)])
    assert found.state == "accepted"
    assert [one.attempt for one in found.attempts] == [1, 2, 3]
    assert states(attempts=[failed(3)]) == [("ep_1", "failed")]


def test_a_removed_endpoint_still_has_its_history() -> None:
    known = {"attempts": [failed(endpoint_id="gone")], "letters": [letter(endpoint_id="gone")]}

    assert states(**known) == [("ep_1", "unknown"), ("gone", "dead_lettered")]


def test_a_dead_letter_names_its_reason_and_the_replay() -> None:
    (found,) = traced(attempts=[failed(3)], letters=[letter()])

    assert found.state == "dead_lettered"
    assert found.detail.startswith("attempts_exhausted: It failed.")
    assert "Replay dead letter 3/1" in found.detail


def test_a_dead_letter_that_was_replayed_gives_way_to_the_next_attempt() -> None:
    replayed = letter(replayed_at_ms=FAILED_MS + 10)
    again = attempt("e", at_ms=FAILED_MS + 20)

    assert states(attempts=[failed(3)], letters=[replayed]) == [("ep_1", "waiting")]
    assert states(attempts=[failed(3), again], letters=[replayed]) == [("ep_1", "accepted")]
    second = letter(at_ms=FAILED_MS + 30)
    assert states(letters=[replayed, second]) == [("ep_1", "dead_lettered")]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"suspension": SUSPENSION}, "is suspended (exhausted) since 1970-01-01T00:15:00.000Z"),
        ({"suspension": SUSPENSION, "paused_at": 960.0}, "is paused since 1970-01-01T00:16:00"),
        ({}, "is active. Replay dead letter 3/1"),
    ],
)
def test_a_deferred_event_names_the_state_of_its_endpoint(
    changes: dict[str, Any], said: str
) -> None:
    probe = attempt("e", "http_503", at_ms=FAILED_MS + 50)
    tenant = a_tenant("acme", an_endpoint(**changes))

    (found,) = traced(tenant=tenant, attempts=[probe], letters=[letter(reason=SUSPENDED)])

    assert found.state == "deferred"
    assert said in found.detail


def test_a_probe_that_was_accepted_ends_the_deferral_before_the_ledger_says_so() -> None:
    accepted = attempt("e", at_ms=FAILED_MS + 50)

    assert states(attempts=[accepted], letters=[letter(reason=SUSPENDED)]) == [("ep_1", "accepted")]


def test_a_dead_letter_of_the_whole_event_leaves_no_endpoint_waiting() -> None:
    whole = letter(endpoint_id=None, reason="tenant_disabled")

    assert states(letters=[whole]) == [(None, "dead_lettered")]
    assert states(tenant=None, letters=[whole]) == [(None, "dead_lettered")]


def test_the_delivery_that_needs_attention_most_names_the_event() -> None:
    tenant = a_tenant("acme", *(an_endpoint(f"ep_{number}") for number in range(4)))
    found = traced(
        tenant=tenant,
        is_done=False,
        attempts=[attempt("e", endpoint_id="ep_0"), failed(endpoint_id="ep_1")],
        letters=[letter(endpoint_id="ep_2")],
    )

    assert {one.endpoint_id: one.state for one in found} == {
        "ep_0": "accepted",
        "ep_1": "backoff",
        "ep_2": "dead_lettered",
        "ep_3": "waiting",
    }
    assert state_of_all(found) == "dead_lettered"
    assert state_of_all(found[:2]) == "backoff"
    assert state_of_all([]) == "skipped"


@given(
    is_done=st.sampled_from([True, False, None]),
    tenant=st.sampled_from([None, a_tenant(), a_tenant("acme", an_endpoint(event_types=("x",)))]),
    attempts=st.lists(
        st.builds(
            attempt,
            st.just("e"),
            st.sampled_from(["accepted", "http_503"]),
            endpoint_id=st.sampled_from(["ep_1", "ep_2"]),
            attempt=st.integers(1, 3),
            at_ms=st.integers(0, 9),
        ),
        max_size=5,
    ),
    letters=st.lists(
        st.builds(
            a_letter,
            st.integers(0, 9),
            endpoint_id=st.sampled_from([None, "ep_1", "ep_3"]),
            reason=st.sampled_from([SUSPENDED, "attempts_exhausted", "of a later release", None]),
            at_ms=st.integers(0, 9),
            replayed_at_ms=st.sampled_from([None, 5]),
        ),
        max_size=5,
    ),
)
def test_an_unresolved_dead_letter_is_never_called_delivered_and_no_endpoint_appears_twice(
    **known: Any,
) -> None:
    found = traced(**known)

    by_endpoint = {one.endpoint_id: one for one in found}

    assert len(by_endpoint) == len(found)
    if None in by_endpoint:
        assert by_endpoint[None].state == "dead_lettered"
        return
    for one in known["letters"]:
        accepted = [
            other
            for other in known["attempts"]
            if (other.endpoint_id, other.code) == (one.endpoint_id, "accepted")
            and other.at_ms > one.at_ms
        ]
        if one.replayed_at_ms is None and not accepted:
            assert by_endpoint[one.endpoint_id].state in ("dead_lettered", "deferred")
    for other in known["attempts"]:
        assert other in by_endpoint[other.endpoint_id].attempts
