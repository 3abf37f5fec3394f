"""`hookseal events trace` on real processes: each answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import customers
from tests.e2e.test_status import hookseal, known, over
from tests.e2e.test_suspension import LATER, Outage, suspended

if TYPE_CHECKING:
    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

ONE_RETRY = {"HOOKSEAL_RETRY_DELAYS_S": "0.01", "HOOKSEAL_SUSPEND_AFTER": "100"}


async def traced(api: Api, event_id: str, state: str, query: str = "") -> Any:
    """Trace an event until it is in this state; return the trace."""
    path = f"/v1/events/{event_id}/trace{query}"
    async with asyncio.timeout(60):
        while (found := await api.do("GET", path))["state"] != state:
            pass
    return found


async def test_an_event_waits_while_no_worker_runs(provider: Provider) -> None:
    (customer,) = customers(1)
    for number in range(3):
        await provider.publish(customer, number)

    code, out, err = await hookseal(
        provider, *("events", "trace", f"{customer}-2", "--customer", customer, "--json")
    )
    _, without_customer, _ = await hookseal(provider, "events", "trace", f"{customer}-1", "--json")

    assert code == 0, err
    found = json.loads(out)
    assert found["state"] == "waiting"
    assert (found["waiting"]["state"], found["waiting"]["events_before"]) == ("no_worker", 2)
    assert (found["offset"], found["searched"]["records"]) == (2, 3)
    assert json.loads(without_customer)["customer_id"] == customer


async def test_accepted_skipped_dead_lettered_and_never_seen(provider: Provider) -> None:
    accepting, failing, other = customers(3)
    receiver = await provider.receiver()
    Outage(receiver, failing)
    for customer, types in ((accepting, "*"), (failing, "*"), (other, "invoice.*")):
        await provider.tenant(customer, receiver.url(customer, "ep_1"), event_types=types)
    await provider.worker(**ONE_RETRY)
    api = await provider.api()
    for customer in (accepting, failing, other):
        await provider.publish(customer, 0)

    accepted = await traced(api, f"{accepting}-0", "accepted")
    dead = await traced(api, f"{failing}-0", "dead_lettered")
    skipped = await traced(api, f"{other}-0", "skipped")
    never = await traced(api, "evt_nobody", "never_seen", f"?customer_id={accepting}")
    code, out, _ = await hookseal(provider, "events", "trace", "evt_nobody", **over(api))

    assert accepted["customer_id"] == accepting
    assert [one["code"] for one in accepted["deliveries"][0]["attempts"]] == ["accepted"]
    (delivery,) = dead["deliveries"]
    assert delivery["dead_letter"]["reason"] == "attempts_exhausted"
    assert f"Replay dead letter {delivery['dead_letter']['id']}" in dead["detail"]
    assert [one["status"] for one in delivery["attempts"]] == [503, 503]
    assert "(invoice.*) do not include order.paid" in skipped["detail"]
    assert never["searched"]["is_complete"]
    assert code == 1
    assert out.startswith("never_seen: ")
    listed, table, _ = await hookseal(
        provider, "deliveries", "list", "--code", "http_503", **over(api)
    )
    assert listed == 0
    assert f"{failing}-0" in table
    assert f"{accepting}-0" not in table


async def test_backoff_and_the_events_that_wait_behind_it(provider: Provider) -> None:
    first, second = customers(2, partition=3)
    receiver = await provider.receiver()
    Outage(receiver, first)
    for customer in (first, second):
        await provider.tenant(customer, receiver.url(customer, "ep_1"))
    await provider.worker(HOOKSEAL_ORDERING="partition", HOOKSEAL_RETRY_DELAYS_S="3600")
    api = await provider.api()
    await provider.publish(first, 0)
    await traced(api, f"{first}-0", "backoff")
    await provider.publish(second, 0)

    behind = await traced(api, f"{second}-0", "waiting")
    held = await traced(api, f"{first}-0", "backoff")

    assert (behind["waiting"]["state"], behind["waiting"]["events_before"]) == ("backoff", 1)
    assert behind["waiting"]["held_by"]["customer_id"] == first
    assert f"{first} ep_1, http_503, attempt 1 of 2" in behind["detail"]
    assert held["waiting"]["events_before"] == 0


async def test_deferred_for_a_suspended_and_for_a_paused_endpoint(provider: Provider) -> None:
    failing, pausing = customers(2)
    receiver = await provider.receiver()
    Outage(receiver, failing)
    for customer in (failing, pausing):
        await provider.tenant(customer, receiver.url(customer, "ep_1"))
    worker = await provider.worker(**LATER)
    api = await provider.api()
    await known(api, pausing)
    await api.do("POST", f"/v1/tenants/{pausing}/endpoints/ep_1/pause")
    for number in range(8):
        await provider.publish(failing, number)
    await suspended(worker, failing)
    await provider.publish(pausing, 0)

    by_failure = await traced(api, f"{failing}-7", "deferred")
    by_request = await traced(api, f"{pausing}-0", "deferred")
    _, out, _ = await hookseal(provider, "events", "trace", f"{pausing}-0", **over(api))

    assert "The endpoint is suspended (exhausted) since 20" in by_failure["detail"]
    assert "The endpoint is paused since 20" in by_request["detail"]
    assert out.rstrip().endswith(f"hookseal tenants endpoints resume {pausing} ep_1")

    await api.do("POST", f"/v1/tenants/{pausing}/endpoints/ep_1/resume")
    redelivered = await traced(api, f"{pausing}-0", "accepted")
    assert redelivered["deliveries"][0]["endpoint_id"] == "ep_1"


async def test_an_event_of_nobody_is_dead_lettered_as_a_whole(provider: Provider) -> None:
    await provider.worker(HOOKSEAL_UNKNOWN_TENANT_WAIT_S="0.1")
    api = await provider.api()
    await provider.publish("nobody", 0)

    found = await traced(api, "nobody-0", "dead_lettered")

    (delivery,) = found["deliveries"]
    assert delivery["endpoint_id"] is None
    assert delivery["dead_letter"]["reason"] == "unknown_tenant"
