from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hookseal.domain.endpoint import Suspension
from hookseal.domain.progress import OldestEvent, PartitionProgress, Progress, Worker
from hookseal.errors import BrokerError
from tests.builders import an_endpoint
from tests.fakes import NOW
from tests.unit.api.test_dead_letters import a_letter
from tests.unit.domain.test_overview import attempt

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

NOW_MS = int(NOW) * 1000


async def status(api: Api) -> Any:
    answer = await api.ask("GET", "/v1/status")
    assert answer.status == 200, await answer.text()
    return await answer.json()


def two_workers() -> Progress:
    oldest = OldestEvent(4, NOW_MS - 5_000, "acme", "evt_1")
    return Progress(
        "hookseal",
        "Stable",
        [Worker("w1", "faust", "10.0.0.1", (0,)), Worker("w2", "faust", "10.0.0.2", (1,))],
        [
            PartitionProgress(0, 0, committed=9, end=9),
            PartitionProgress(1, 2, committed=4, end=6, oldest=oldest),
        ],
    )


async def test_shows_workers_and_the_delivery_that_holds_a_partition(api: Api) -> None:
    api.progress.found = two_workers()
    api.attempts.held = [attempt("evt_1", "http_503", at_ms=NOW_MS - 4_000, status=503)]

    shown = await status(api)

    assert shown["group"] == {"id": "hookseal", "state": "Stable"}
    assert [one["partitions"] for one in shown["workers"]] == [[0], [1]]
    assert shown["problems"] == []
    assert shown["lag"] == 2
    idle, held = shown["partitions"]
    assert (idle["state"], idle["worker"], idle["since"]) == ("idle", "w1", None)
    assert (held["state"], held["worker"], held["committed_offset"]) == ("backoff", "w2", 4)
    assert held["since"] == held["oldest"]["at"]
    by = held["held_by"]
    assert (by["customer_id"], by["endpoint_id"], by["code"]) == ("acme", "ep_1", "http_503")


async def test_says_that_no_worker_runs_and_how_many_events_wait(api: Api) -> None:
    found = two_workers()
    api.progress.found = found._replace(state="Empty", workers=[])

    shown = await status(api)

    (problem,) = shown["problems"]
    assert problem["code"] == "no_worker"
    assert "Waiting events: 2." in problem["detail"]
    assert {one["state"] for one in shown["partitions"]} == {"no_worker"}


async def test_names_partitions_that_no_worker_has_unless_they_are_being_assigned(
    api: Api,
) -> None:
    found = two_workers()
    api.progress.found = found._replace(workers=found.workers[:1])

    (problem,) = (await status(api))["problems"]
    assert problem["code"] == "partitions_unassigned"
    assert problem["detail"].split(". ")[0].endswith(": 1")

    api.progress.found = api.progress.found._replace(state="PreparingRebalance")
    assert (await status(api))["problems"] == []


async def test_lists_endpoints_that_get_nothing_with_their_deferred_events(api: Api) -> None:
    api.progress.found = two_workers()
    suspension = Suspension(since=NOW, why="exhausted", owner="w", letters_from=0)
    endpoints = (
        replace(an_endpoint("ep_1"), suspension=suspension),
        replace(an_endpoint("ep_2"), paused_at=NOW - 60),
        replace(an_endpoint("ep_3"), suspension=suspension, enabled=False),
        an_endpoint("ep_4"),
    )
    api.tenant("acme", endpoints=endpoints)
    deferred = {"reason": "endpoint_suspended", "endpoint_id": "ep_1"}
    api.letters.held = [
        a_letter(1, **deferred),
        a_letter(2, **deferred),
        a_letter(3, replayed_at_ms=1, **deferred),
    ]

    shown = await status(api)

    assert shown["endpoint_count"] == 2
    assert [
        (one["endpoint_id"], one["state"], one["because"], one["deferred"])
        for one in shown["endpoints"]
    ] == [("ep_1", "suspended", "exhausted", 2), ("ep_2", "paused", "paused", 0)]


async def test_an_endpoint_that_is_not_among_the_counted_ones_has_no_count(api: Api) -> None:
    api.progress.found = two_workers()
    api.tenant("acme", endpoints=(an_endpoint("ep_x", paused_at=NOW),))
    deferred = [
        a_letter(number, reason="endpoint_suspended", endpoint_id=f"ep_{number}")
        for number in range(1000)
    ]

    api.letters.held = deferred
    (unknown,) = (await status(api))["endpoints"]
    api.letters.held = deferred[1:]
    (none,) = (await status(api))["endpoints"]

    assert (unknown["deferred"], none["deferred"]) == (None, 0)


async def test_counts_the_dead_letters_of_the_last_hour_without_deferred_events(
    api: Api,
) -> None:
    api.progress.found = two_workers()
    api.letters.held = [
        a_letter(1, reason="attempts_exhausted", at_ms=NOW_MS - 1),
        a_letter(2, reason="attempts_exhausted", at_ms=NOW_MS - 3_600_001),
        a_letter(3, reason="endpoint_suspended", at_ms=NOW_MS - 1),
        a_letter(4, reason="unknown_tenant", at_ms=NOW_MS - 1),
    ]

    assert (await status(api))["dead_letters"] == {
        "receiver": 1,
        "configuration": 0,
        "event": 0,
        "platform": 1,
    }


async def test_shows_the_rest_while_a_part_cannot_be_read(api: Api) -> None:
    api.progress.found = two_workers()
    api.letters.error = api.attempts.error = BrokerError("index_behind", "Not yet.")
    api.model.not_ready = BrokerError("tenants_recovering", "Not yet.")

    shown = await status(api)

    assert [one["code"] for one in shown["problems"]] == ["index_behind", "tenants_recovering"]
    assert (shown["dead_letters"], shown["endpoint_count"], shown["endpoints"]) == (None, None, [])
    assert shown["partitions"][1]["state"] == "delivering"


async def test_is_unavailable_while_kafka_does_not_answer(api: Api) -> None:
    api.progress.error = BrokerError("broker_unreachable", "No Kafka.")

    assert (await api.ask("GET", "/v1/status")).status == 503


async def test_is_the_operator_s(api: Api) -> None:
    answer = await api.ask("GET", "/v1/status", key=api.tenant("acme"))

    assert (await answer.json())["code"] == "admin_only"
