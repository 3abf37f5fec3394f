"""`hookseal status` and `GET /v1/status` on real processes."""

from __future__ import annotations

import asyncio
import json
import os
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.api import ADMIN_KEY
from tests.e2e.conftest import PARTITIONS, customers
from tests.e2e.process import BIN, REPOSITORY
from tests.e2e.test_suspension import LATER, Outage, suspended

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]


async def hookseal(provider: Provider, *arguments: str, **env: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / "hookseal"),
        *arguments,
        cwd=REPOSITORY,
        env={**os.environ, **provider.env, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def over(api: Api) -> dict[str, str]:
    return {"HOOKSEAL_API_URL": api.url, "HOOKSEAL_ADMIN_KEY": ADMIN_KEY}


async def status_until(api: Api, condition: Callable[[Any], bool]) -> Any:
    """Ask for the status until a condition holds; return it."""
    async with asyncio.timeout(60):
        while not condition(found := await api.do("GET", "/v1/status")):
            pass
    return found


async def known(api: Api, customer: str) -> None:
    """Wait until a worker applied the commands that make the customer's endpoint."""
    async with asyncio.timeout(60):
        while (await api.ask("GET", f"/v1/tenants/{customer}/endpoints/ep_1"))[0] != 200:
            pass


async def test_without_a_worker_the_status_and_the_doctor_say_so(provider: Provider) -> None:
    (customer,) = customers(1, partition=2)
    await provider.tenant(customer)
    await provider.publish(customer, 0)

    code, out, err = await hookseal(provider, "status", "--json")

    assert code == 1, err
    found = json.loads(out)
    assert [one["code"] for one in found["problems"]] == ["no_worker"]
    assert found["workers"] == []
    assert found["lag"] == 1
    code, out, _ = await hookseal(provider, "doctor", "--json")
    (workers,) = [one for one in json.loads(out) if one["name"] == "workers"]
    assert (code, workers["status"]) == (1, "fail")
    assert "Waiting events: 1." in workers["message"]
    partition = found["partitions"][2]
    assert (partition["state"], partition["lag"]) == ("no_worker", 1)
    assert partition["oldest"]["event_id"] == f"{customer}-0"


async def test_two_workers_share_the_partitions(provider: Provider) -> None:
    api = await provider.api()
    for name in "ab":
        await provider.worker(name)

    found = await status_until(
        api, lambda found: len([one for one in found["workers"] if one["partitions"]]) == 2
    )

    assert found["problems"] == []
    assert found["group"]["state"] == "Stable"
    shares = [one["partitions"] for one in found["workers"]]
    assert sorted(chain.from_iterable(shares)) == list(range(PARTITIONS))
    code, out, err = await hookseal(provider, "status", **over(api))
    assert code == 0, err
    assert "2 worker(s), lag 0" in out
    _, checks, _ = await hookseal(provider, "doctor")
    (line,) = [line for line in checks.splitlines() if line.startswith("workers ")]
    assert line.split() == ["workers", "ok", "2,", "lag", "0"]


async def test_a_held_partition_names_its_customer_and_endpoint(provider: Provider) -> None:
    first, other = customers(2, partition=1)
    receiver = await provider.receiver()
    Outage(receiver, first)
    for customer in (first, other):
        await provider.tenant(customer, receiver.url(customer, "ep_1"))
    worker = await provider.worker(
        HOOKSEAL_ORDERING="partition", HOOKSEAL_RETRY_DELAYS_S="3600,3600"
    )
    api = await provider.api()
    await provider.publish(first, 0)
    await provider.publish(other, 0)
    await worker.until(lambda: bool(worker.events("delivery.attempted")))

    found = await status_until(api, lambda found: found["partitions"][1]["state"] == "backoff")

    partition = found["partitions"][1]
    assert partition["lag"] == 2
    held = partition["held_by"]
    assert (held["customer_id"], held["endpoint_id"]) == (first, "ep_1")
    assert (held["code"], held["attempt"], held["attempt_max"]) == ("http_503", 1, 3)
    assert partition["oldest"]["event_id"] == held["event_id"] == f"{first}-0"
    _, out, _ = await hookseal(provider, "status", **over(api))
    assert f"{first} ep_1: http_503, attempt 1 of 3, event {first}-0" in out


async def test_suspended_and_paused_endpoints_are_listed_with_their_events(
    provider: Provider,
) -> None:
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

    def is_complete(found: Any) -> bool:
        listed = {one["customer_id"]: one["deferred"] for one in found["endpoints"]}
        return bool(listed.get(failing)) and bool(listed.get(pausing)) and found["lag"] == 0

    found = await status_until(api, is_complete)

    assert found["endpoint_count"] == 2
    by_customer = {one["customer_id"]: one for one in found["endpoints"]}
    assert (by_customer[failing]["state"], by_customer[failing]["because"]) == (
        "suspended",
        "exhausted",
    )
    assert (by_customer[pausing]["state"], by_customer[pausing]["deferred"]) == ("paused", 1)
    assert sum(found["dead_letters"].values()) <= 8
