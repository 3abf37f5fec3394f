from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookseal.domain.progress import OldestEvent, PartitionProgress, Progress, Worker
from hookseal.errors import BrokerError
from tests.builders import a_record, an_endpoint, an_event
from tests.fakes import NOW
from tests.unit.api.test_dead_letters import a_letter
from tests.unit.domain.test_overview import attempt

if TYPE_CHECKING:
    from tests.unit.api.conftest import Api

NOW_MS = int(NOW) * 1000


def progress(*, committed: int = 3, workers: int = 1, customer: str = "acme") -> Progress:
    oldest = OldestEvent(committed, NOW_MS - 5_000, customer, "evt_old")
    return Progress(
        "hookseal",
        "Stable" if workers else "Empty",
        [Worker("w", "faust", "10.0.0.1", (0,))] * workers,
        [PartitionProgress(0, 6, committed=committed, start=committed, end=9, oldest=oldest)],
    )


async def trace(api: Api, event_id: str = "evt_7", query: str = "", **more: Any) -> Any:
    answer = await api.ask("GET", f"/v1/events/{event_id}/trace{query}", **more)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_an_event_waits_behind_the_oldest_one_of_its_partition(api: Api) -> None:
    api.tenant()
    api.search.held = [an_event()]
    api.progress.found = progress()
    api.attempts.held = [attempt("evt_old", "http_503", at_ms=NOW_MS - 4_000)]

    found = await trace(api)

    assert (found["state"], found["customer_id"]) == ("waiting", "acme")
    assert (found["partition"], found["offset"]) == (0, 7)
    assert found["published_at"] == "2023-11-14T22:13:20.123Z"
    waiting = found["waiting"]
    assert (waiting["events_before"], waiting["state"]) == (4, "backoff")
    assert waiting["held_by"]["event_id"] == waiting["oldest"]["event_id"] == "evt_old"
    assert "that are not done: 4." in found["detail"]
    assert "acme ep_1, http_503, attempt 1 of 3" in found["detail"]


async def test_an_event_waits_for_a_worker(api: Api) -> None:
    api.tenant()
    api.search.held = [an_event()]
    api.progress.found = progress(workers=0)

    found = await trace(api)

    assert (found["state"], found["waiting"]["state"]) == ("waiting", "no_worker")
    assert "No worker runs on its partition." in found["detail"]


async def test_a_tenant_does_not_see_what_other_tenants_wait_for(api: Api) -> None:
    key = api.tenant()
    api.search.held = [an_event()]
    api.progress.found = progress(customer="secret-neighbour")
    api.attempts.held = [
        attempt("evt_old", "http_503", customer_id="secret-neighbour", at_ms=NOW_MS - 4_000)
    ]

    answer = await api.ask("GET", "/v1/events/evt_7/trace", key=key)

    text = await answer.text()
    assert "secret-neighbour" not in text
    assert "evt_old" not in text
    waiting = (await answer.json())["waiting"]
    assert (waiting["state"], waiting["events_before"]) == ("backoff", 4)
    assert (waiting["oldest"], waiting["held_by"]) == (None, None)


async def test_a_tenant_traces_its_own_events_only(api: Api) -> None:
    key = api.tenant()
    api.tenant("other")
    api.attempts.held = [attempt("evt_7", customer_id="other")]
    api.progress.found = progress()

    foreign = await api.ask("GET", "/v1/events/evt_7/trace?customer_id=other", key=key)

    assert (await foreign.json())["code"] == "unknown_tenant"
    assert (await trace(api, key=key))["state"] == "never_seen"


async def test_tracing_needs_its_scope(api: Api) -> None:
    key = api.tenant("acme", "events:write")

    answer = await api.ask("GET", "/v1/events/evt_7/trace", key=key)

    assert (await answer.json())["code"] == "scope_missing"


async def test_the_delivery_log_names_the_customer_and_the_position(api: Api) -> None:
    api.tenant("acme")
    api.progress.found = progress(committed=9)
    api.attempts.held = [
        attempt("evt_7", "http_503", at_ms=1, event_offset=7),
        attempt("evt_7", at_ms=2, attempt=2, event_offset=7),
    ]

    found = await trace(api)

    assert (found["state"], found["customer_id"], found["offset"]) == ("accepted", "acme", 7)
    assert found["detail"] == "ep_1: Attempt 2 of 3 was accepted."
    (delivery,) = found["deliveries"]
    assert [one["code"] for one in delivery["attempts"]] == ["http_503", "accepted"]
    assert (found["searched"], found["waiting"]) == (None, None)


async def test_the_dead_letters_name_the_customer_as_well(api: Api) -> None:
    api.tenant("acme")
    api.progress.found = progress()
    api.letters.held = [a_letter(7)]

    found = await trace(api)

    assert (found["state"], found["customer_id"]) == ("dead_lettered", "acme")
    assert found["deliveries"][0]["dead_letter"]["id"] == "3/7"


async def test_an_id_of_several_customers_needs_a_customer(api: Api) -> None:
    for customer_id in ("acme", "other"):
        api.tenant(customer_id)
    api.progress.found = progress(committed=9)
    api.attempts.held = [attempt("evt_7"), attempt("evt_7", customer_id="other")]

    refused = await api.ask("GET", "/v1/events/evt_7/trace")

    problem = await refused.json()
    assert (problem["code"], problem["field"]) == ("customer_id_missing", "customer_id")
    assert (await trace(api, query="?customer_id=other"))["customer_id"] == "other"


async def test_an_event_that_no_endpoint_subscribes_to_is_skipped(api: Api) -> None:
    api.tenant("acme", endpoints=(an_endpoint(event_types=("invoice.*",)),))
    api.search.held = [an_event()]
    api.progress.found = progress(committed=9)

    found = await trace(api)

    assert found["state"] == "skipped"
    assert found["detail"].startswith("ep_1: The endpoint's event types (invoice.*)")


async def test_an_event_of_a_tenant_without_endpoints_is_skipped(api: Api) -> None:
    api.tenant("acme", endpoints=())
    api.search.held = [an_event()]
    api.progress.found = progress(committed=9)

    found = await trace(api)

    assert (found["state"], found["detail"]) == ("skipped", "The tenant had no endpoint.")


async def test_an_event_that_was_never_seen_says_where_it_was_searched_for(api: Api) -> None:
    api.tenant()
    api.progress.found = progress()
    api.search.held = [an_event(a_record(offset=8))]

    found = await trace(api, query="?customer_id=acme")
    earlier = await trace(api, query="?customer_id=acme&since=2023-11-01")

    assert (found["state"], found["customer_id"]) == ("never_seen", "acme")
    assert found["searched"] == {
        "since": "2023-11-13T22:13:20.000Z",
        "partitions": [0],
        "records": 1,
        "is_complete": True,
    }
    assert "It was not published, was published for another customer" in found["detail"]
    assert earlier["searched"]["since"] == "2023-11-01T00:00:00.000Z"
    api.search.is_complete = False
    assert "The search reached its limit" in (await trace(api))["detail"]


async def test_without_kafka_an_event_in_the_queue_waits(api: Api) -> None:
    api.tenant()
    api.search.held = [an_event()]
    worker = Worker("host:1", "", "host", (0,))
    api.progress.found = Progress(None, None, [worker], [PartitionProgress(0, 1)])

    assert (await trace(api))["state"] == "waiting"
    api.search.held = []
    api.attempts.held = [attempt("evt_7")]
    assert (await trace(api))["state"] == "accepted"


async def test_a_list_that_is_still_read_is_no_answer(api: Api) -> None:
    api.tenant()
    api.letters.error = BrokerError("index_behind", "Not yet.")

    assert (await api.ask("GET", "/v1/events/evt_7/trace")).status == 503
