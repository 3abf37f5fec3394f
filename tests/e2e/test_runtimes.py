"""One conformance suite for what a customer and an operator see, whatever runs underneath."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.kafka import topics
from hookseal.kafka.cluster import Cluster
from tests.e2e.api import ADMIN_KEY, Api
from tests.e2e.customer import Customer
from tests.e2e.local import Local, local_env
from tests.e2e.process import BIN
from tests.e2e.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

SOON = {
    "HOOKSEAL_RETRY_DELAYS_S": "0.01",
    "HOOKSEAL_PROBE_BASE_S": "3600",
    "HOOKSEAL_PROBE_CAP_S": "3600",
}


class Runtime:
    """One deployment of a test, of any kind."""

    def __init__(self, kind: str, env: dict[str, str], folder: Path, stack: AsyncExitStack) -> None:
        self.kind = kind
        self.env = env
        self._folder = folder
        self._stack = stack

    async def start(self, ordering: str, **env: str) -> Api:
        """Return the API; deliveries begin."""
        self.env |= env
        if self.kind != "kafka":
            local = await Local("local", self.env, self._folder, "--ordering", ordering).start()
            self._stack.push_async_callback(local.stop)
            await local.ready()
            return local
        cluster = Cluster(
            bootstrap=self.env["HOOKSEAL_KAFKA_BOOTSTRAP"],
            topic_prefix=self.env["HOOKSEAL_TOPIC_PREFIX"],
        )
        await topics.create(cluster, partitions=2)
        worker = Worker("worker", {**self.env, "HOOKSEAL_ORDERING": ordering}, self._folder)
        api = Api("api", self.env, self._folder)
        for process in (worker, api):
            await process.start()
            self._stack.push_async_callback(process.stop)
        await worker.ready()
        await api.ready()
        return api

    async def customer(self, api: Api, customer_id: str, *event_types: str) -> Customer:
        """Return a customer that took the eight steps."""
        customer = await self._stack.enter_async_context(Customer(api, customer_id))
        await customer.subscribe()
        await customer.add_key()
        await customer.add_endpoint(*(event_types or ("*",)))
        return customer


@pytest.fixture(params=["memory", "redis", "kafka"])
async def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runtime]:
    kind = request.param
    if kind == "kafka":
        env = dict(request.getfixturevalue("settings_env"))
        if request.getfixturevalue("broker").kind != "apache":
            pytest.skip("proved on Apache Kafka only; this run has the embedded broker")
    else:
        queue = "memory://" if kind == "memory" else request.getfixturevalue("redis").url
        env = local_env(queue)
    async with AsyncExitStack() as stack:
        yield Runtime(kind, env, tmp_path, stack)


async def publish(
    api: Api, customer_id: str, numbers: Sequence[int], event_type: str = "order.paid"
) -> None:
    """Publish `<customer>-<number>`, in one batch."""
    events = [
        {
            "customer_id": customer_id,
            "type": event_type,
            "id": f"{customer_id}-{number}",
            "data": {"number": number},
        }
        for number in numbers
    ]
    await api.do("POST", "/v1/events", events)


def numbers(customer: Customer, event_type: str = "order.paid") -> list[int]:
    return [event.data["number"] for event in customer.got(event_type)]


async def letters(customer: Customer, count: int) -> list[dict[str, Any]]:
    """Return the customer's dead letters, oldest first, once there are so many."""
    async with asyncio.timeout(60):
        while True:
            found = await customer.do("GET", "/dead-letters?order=oldest")
            items: list[dict[str, Any]] = found["items"]
            if len(items) >= count:
                return items


async def attempts(customer: Customer, event_id: str, count: int) -> list[str]:
    """Return what the attempts at an event came to, newest first, once there are so many."""
    async with asyncio.timeout(30):
        while True:
            log = await customer.do("GET", f"/deliveries?event_id={event_id}")
            if len(log["items"]) >= count:
                return [one["code"] for one in log["items"]]


async def command(env: dict[str, str], *arguments: str) -> Any:
    """Run the command line against the API; return its JSON."""
    ran = await asyncio.to_thread(
        subprocess.run,
        [str(BIN / "hookseal"), *arguments],
        env={**os.environ, **env},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return json.loads(ran.stdout) if "--json" in arguments else ran.stdout.decode()


@pytest.mark.parametrize("ordering", ["unordered", "customer"])
async def test_a_customer_gets_its_events_and_its_notices(runtime: Runtime, ordering: str) -> None:
    api = await runtime.start(ordering)
    acme = await runtime.customer(api, "acme", "order.*", "hookseal.*")
    other = await runtime.customer(api, "other", "*")

    await publish(api, "acme", range(200))
    await publish(api, "other", range(3))
    await publish(api, "acme", [1000], "invoice.paid")
    repeated = await api.do(
        "POST",
        "/v1/events",
        {"customer_id": "acme", "type": "order.paid", "id": "acme-7", "data": {"number": 7}},
    )
    await api.do("POST", "/v1/events", {"type": "order.all", "data": {"number": -1}})
    await acme.until(lambda: len(acme.got("order.paid")) == 200 and bool(acme.got("order.all")))
    await other.until(lambda: len(other.events) == 4)

    found = numbers(acme)
    assert (found if ordering == "customer" else sorted(found)) == list(range(200))
    assert not acme.got("invoice.paid")
    assert repeated["id"] == "acme-7"

    status, problem = await api.ask(
        "POST",
        "/v1/events",
        {"customer_id": "acme", "type": "order.paid", "id": "acme-7", "data": 8},
    )
    assert (status, problem["code"]) == (409, "event_id_reused")

    endpoints = await acme.do("GET", "/endpoints")
    await acme.do("POST", f"/endpoints/{endpoints['items'][0]['id']}/test", {})
    await acme.until(lambda: bool(acme.got("hookseal.test")))
    await acme.add_key()
    await acme.until(lambda: bool(acme.got("hookseal.key.changed")))
    assert await attempts(acme, "acme-7", 1) == ["accepted"]


async def test_what_is_given_up_is_listed_and_replayed_once(runtime: Runtime) -> None:
    api = await runtime.start(
        "customer", HOOKSEAL_RETRY_DELAYS_S="0.01", HOOKSEAL_SUSPEND_AFTER="0"
    )
    acme = await runtime.customer(api, "acme")
    acme.status = 503
    await publish(api, "acme", range(5))

    listed = await letters(acme, 5)
    assert [one["event_id"] for one in listed] == [f"acme-{number}" for number in range(5)]
    assert {one["reason"] for one in listed} == {"attempts_exhausted"}
    assert {one["attempts"] for one in listed} == {2}

    acme.status = 200
    dry = await acme.do("POST", "/dead-letters/replay", {"dry_run": True})
    one = await acme.do("POST", "/dead-letters/replay", {"ids": [listed[3]["id"]]})
    rest = await acme.do("POST", "/dead-letters/replay", {})
    again = await acme.do("POST", "/dead-letters/replay", {})
    await acme.until(lambda: len(acme.events) == 5)

    assert dry == {"replayed": 5, "remaining": 0, "not_replayable": 0}
    assert [one["replayed"], rest["replayed"], again["replayed"]] == [1, 4, 0]
    assert [event.id for event in acme.events] == [f"acme-{number}" for number in (3, 0, 1, 2, 4)]
    assert all(one["replayed_at"] for one in await letters(acme, 5))
    assert await attempts(acme, "acme-3", 3) == ["accepted", "http_503", "http_503"]


async def test_accepted_events_are_replayed_where_a_log_keeps_them(runtime: Runtime) -> None:
    api = await runtime.start("customer")
    acme = await runtime.customer(api, "acme")
    await publish(api, "acme", range(5))
    await acme.until(lambda: len(acme.events) == 5)
    (endpoint,) = (await acme.do("GET", "/endpoints"))["items"]
    body = {"customer_id": "acme", "endpoint_id": endpoint["id"], "since": "2020-01-01"}

    status, first = await api.ask("POST", "/v1/events/replay", {**body, "limit": 3})

    if runtime.kind != "kafka":
        assert (status, first["code"]) == (409, "replay_unsupported")
        return
    start = first["next_offset"]
    _, rest = await api.ask("POST", "/v1/events/replay", {**body, "start_offset": start})
    _, again = await api.ask("POST", "/v1/events/replay", body)
    assert [first["replayed"], rest["replayed"], again["replayed"]] == [3, 2, 0]
    assert [rest["next_offset"], again["next_offset"]] == [None, None]
    await acme.until(lambda: len(acme.events) == 10)
    assert [event.id for event in acme.events] == 2 * [f"acme-{number}" for number in range(5)]


async def test_a_suspended_endpoint_misses_nothing(runtime: Runtime) -> None:
    api = await runtime.start("customer", **SOON)
    acme = await runtime.customer(api, "acme")
    acme.status = 503
    await publish(api, "acme", range(10))

    async def endpoint() -> dict[str, Any]:
        found = await acme.do("GET", "/endpoints")
        one: dict[str, Any] = found["items"][0]
        return one

    async with asyncio.timeout(60):
        while (await endpoint())["state"] != "suspended":
            pass
    await letters(acme, 10)

    acme.status = 200
    await acme.do("POST", f"/endpoints/{(await endpoint())['id']}/resume", {})
    await publish(api, "acme", range(10, 15))
    await acme.until(lambda: len(acme.events) == 15)

    assert numbers(acme) == list(range(15))
    async with asyncio.timeout(60):
        while (await endpoint())["state"] != "active":
            pass


async def test_a_paused_endpoint_misses_nothing_but_what_expired(runtime: Runtime) -> None:
    api = await runtime.start("customer", **SOON)
    acme = await runtime.customer(api, "acme")
    (endpoint,) = (await acme.do("GET", "/endpoints"))["items"]
    paused = await acme.do("POST", f"/endpoints/{endpoint['id']}/pause")
    await publish(api, "acme", range(5))
    expired = {"customer_id": "acme", "type": "order.paid", "data": {}, "id": "late"}
    await api.do("POST", "/v1/events", {**expired, "expires_at": "2026-01-01T00:00:00Z"})
    refused = await api.ask("POST", "/v1/events", {**expired, "expires_at": "soon"})
    reasons = [letter["reason"] for letter in await letters(acme, 6)]
    before = numbers(acme)
    await acme.do("POST", f"/endpoints/{endpoint['id']}/resume")
    await publish(api, "acme", range(5, 8))
    await acme.until(lambda: len(acme.events) == 8)

    assert (paused["state"], before) == ("paused", [])
    assert reasons == ["endpoint_suspended"] * 5 + ["expired"]
    assert (refused[0], refused[1]["code"]) == (422, "expires_at_invalid")
    assert refused[1]["field"] == "expires_at"
    assert numbers(acme) == list(range(8))


async def test_the_commands_do_their_work(runtime: Runtime, tmp_path: Path) -> None:
    api = await runtime.start(
        "customer", HOOKSEAL_RETRY_DELAYS_S="0.01", HOOKSEAL_SUSPEND_AFTER="0"
    )
    env = {**runtime.env, "HOOKSEAL_API_URL": api.url, "HOOKSEAL_ADMIN_KEY": ADMIN_KEY}
    acme = await runtime.customer(api, "acme")
    await command(env, "tenants", "create", "other")
    events = tmp_path / "events.ndjson"
    events.write_text(
        "".join(
            f'{{"customer_id": "acme", "type": "order.paid", "data": {{"number": {number}}}}}\n'
            for number in range(4)
        )
    )

    acme.status = 503
    await command(env, "publish", str(events))
    tenants = await command(env, "tenants", "list", "--json")
    async with asyncio.timeout(60):
        while len(await command(env, "dead-letters", "list", "--json")) < 4:
            pass
    listed = await command(
        env, "dead-letters", "list", "--customer", "acme", "--order", "oldest", "--json"
    )
    page = await command(
        env,
        "dead-letters",
        "list",
        "--order",
        "oldest",
        "--after",
        listed[0]["id"],
        "--limit",
        "2",
        "--json",
    )
    stats = await command(env, "dead-letters", "stats", "--json")
    shown = await command(env, "dead-letters", "show", listed[0]["id"], "--json")
    acme.status = 200
    dry = await command(env, "dead-letters", "replay", "--all", "--dry-run", "--json")
    one = await command(env, "dead-letters", "replay", listed[0]["id"], "--json")
    done = await command(env, "dead-letters", "replay", "--customer", "acme", "--json")
    again = await command(env, "dead-letters", "replay", "--all", "--json")
    await acme.until(lambda: len(acme.events) == 4)

    assert [tenant["customer_id"] for tenant in tenants] == ["acme", "other"]
    assert [letter["reason"] for letter in listed] == ["attempts_exhausted"] * 4
    assert [letter["id"] for letter in page] == [letter["id"] for letter in listed[1:3]]
    assert [(row["count"], row["customer_id"], row["reason"]) for row in stats] == [
        (4, "acme", "attempts_exhausted")
    ]
    assert (shown["id"], shown["reason"]) == (listed[0]["id"], "attempts_exhausted")
    assert [attempt["code"] for attempt in shown["history"]] == ["http_503"] * 2
    assert (dry["would_replay"], one["replayed"], done["replayed"], again["replayed"]) == (
        4,
        1,
        3,
        0,
    )
    assert numbers(acme) == [0, 1, 2, 3]


async def test_a_tenant_that_publishes_too_much_is_throttled_alone(runtime: Runtime) -> None:
    api = await runtime.start("customer", HOOKSEAL_TENANT_MAX_EVENTS_PER_S="0.001")
    acme = await runtime.customer(api, "acme")
    other = await runtime.customer(api, "other")
    await publish(api, "acme", range(1000))

    events = [{"customer_id": "acme", "type": "order.paid", "data": {"number": 1000}}]
    status, answer = await api.ask("POST", "/v1/events", events)
    await publish(api, "other", range(3))

    assert (status, answer["code"]) == (429, "rate_limited")
    await other.until(lambda: numbers(other) == [0, 1, 2])
    await acme.until(lambda: len(numbers(acme)) == 1000)
