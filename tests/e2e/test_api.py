"""The API, the workers and the customers, as processes on a real broker."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.config import Settings
from tests.e2e.api import Api
from tests.e2e.conftest import Provider
from tests.e2e.customer import Customer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import ApacheBroker, Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]


async def onboard(api: Api, customer: Customer, alg: str) -> str:
    await customer.subscribe()
    await customer.add_key(alg)
    return await customer.add_endpoint("order.*")


async def publish(api: Api, customer_id: str, number: int, **more: Any) -> dict[str, Any]:
    event = {"customer_id": customer_id, "type": "order.paid", "data": {"number": number}}
    answer: dict[str, Any] = await api.do("POST", "/v1/events", event, **more)
    return answer


@pytest.mark.apache
async def test_customers_onboard_themselves_from_nothing_to_the_first_opened_event(
    provider: Provider,
) -> None:
    worker = await provider.worker()
    one, other = await asyncio.gather(provider.api("one"), provider.api("other"))
    await worker.ready()

    async with Customer(one, "acme") as acme, Customer(other, "b/ö c") as b:
        await asyncio.gather(onboard(one, acme, "rsa-2048"), onboard(other, b, "p256"))
        # Each publishes through the process that did not set it up, one with its own key.
        sent = await publish(other, "acme", 1)
        own = await publish(one, "b/ö c", 2, key=b.api_key)
        assert sent.keys() >= {"id", "partition", "offset"}
        await asyncio.gather(acme.until(lambda: bool(acme.events)), b.until(lambda: bool(b.events)))

        assert [(event.id, event.data) for event in acme.events] == [(sent["id"], {"number": 1})]
        assert [(event.id, event.data) for event in b.events] == [(own["id"], {"number": 2})]

        # A test event, to one endpoint alone.
        (endpoint,) = (await acme.do("GET", "/endpoints"))["items"]
        test = await acme.do("POST", f"/endpoints/{endpoint['id']}/test")
        await acme.until(lambda: bool(acme.got("hookseal.test")))
        assert acme.got("hookseal.test")[0].id == test["id"]

        # A broadcast reaches whoever subscribes.
        event = {"type": "order.rules", "data": {"version": 2}}
        sent = await one.do("POST", "/v1/events", event)
        await acme.until(lambda: bool(acme.got("order.rules")))
        await b.until(lambda: bool(b.got("order.rules")))
        for customer in (acme, b):
            assert [event.id for event in customer.got("order.rules")] == [sent["id"]]


@pytest.mark.apache
async def test_a_new_key_is_reported_to_the_holder_of_the_old_one(
    provider: Provider,
) -> None:
    worker, api = await provider.worker(), await provider.api()
    await worker.ready()
    async with Customer(api, "acme") as acme:
        await onboard(api, acme, "x25519")
        old = (await acme.do("GET", "/public-keys"))["items"][0]["kid"]
        only_the_old = list(acme.private_keys)

        new = await acme.add_key("p256")
        acme.private_keys, with_the_new = only_the_old, acme.private_keys
        await acme.until(lambda: bool(acme.got("hookseal.key.changed")))

        notice = acme.got("hookseal.key.changed")[0]
        assert notice.data == {"previous_kid": old, "kid": new}
        acme.private_keys = with_the_new[1:]
        await publish(api, "acme", 1)
        await acme.until(lambda: bool(acme.got("order.paid")))


@pytest.mark.apache
async def test_two_api_processes_lose_no_write_and_read_each_other_s(provider: Provider) -> None:
    worker = await provider.worker()
    apis = await asyncio.gather(provider.api("a"), provider.api("b"))
    await worker.ready()
    a, b = apis
    await a.do("POST", "/v1/tenants", {"customer_id": "acme"})

    # Interleaved, and half of the answers are read at the other process at once.
    async def add(number: int) -> None:
        api, other = apis[number % 2], apis[(number + 1) % 2]
        body = {"url": f"http://127.0.0.1:8080/{number}", "event_types": ["*"]}
        made = await api.do("POST", "/v1/tenants/acme/endpoints", body)
        await other.do("GET", f"/v1/tenants/acme/endpoints/{made['id']}")

    await asyncio.gather(*(add(number) for number in range(40)))
    listed, at_b = [(await api.do("GET", "/v1/tenants/acme/endpoints"))["items"] for api in apis]
    assert listed == at_b
    assert {item["url"].rsplit("/", 1)[-1] for item in listed} == {str(n) for n in range(40)}

    # Read, change, write: of two that read the same, one is told to read again.
    revision = (await a.do("GET", "/v1/tenants/acme"))["revision"]
    endpoint = f"/v1/tenants/acme/endpoints/{listed[0]['id']}"
    match = {"If-Match": f'"{revision}"'}
    statuses = await asyncio.gather(
        a.ask("PATCH", endpoint, {"description": "of a"}, headers=match),
        b.ask("PATCH", endpoint, {"description": "of b"}, headers=match),
    )
    assert sorted(status for status, _ in statuses) == [200, 409]

    # The same request at both at once is carried out once.
    again = {"headers": {"Idempotency-Key": "the-same"}}
    body = {"url": "http://127.0.0.1:8080/again", "event_types": ["*"]}
    one, two = await asyncio.gather(
        a.do("POST", "/v1/tenants/acme/endpoints", body, **again),
        b.do("POST", "/v1/tenants/acme/endpoints", body, **again),
    )
    assert one == two
    assert len((await a.do("GET", "/v1/tenants/acme/endpoints"))["items"]) == 41


@pytest.mark.apache
async def test_a_revoked_key_is_refused_everywhere(provider: Provider) -> None:
    worker = await provider.worker()
    a, b = await asyncio.gather(provider.api("a"), provider.api("b"))
    await worker.ready()
    made = await a.do("POST", "/v1/tenants", {"customer_id": "acme"})
    key = made["api_key"]
    await b.do("GET", "/v1/tenants/acme", key=key)
    (shown,) = (await a.do("GET", "/v1/tenants/acme"))["api_keys"]

    await a.do("DELETE", f"/v1/tenants/acme/api-keys/{shown['id']}")

    assert (await a.ask("GET", "/v1/tenants/acme", key=key))[0] == 401
    # The bound that is promised is HOOKSEAL_API_MAX_STALENESS_S; the wait here is far below it.
    async with asyncio.timeout(2):
        while (await b.ask("GET", "/v1/tenants/acme", key=key))[0] != 401:
            pass
    again = await provider.api("again")
    assert (await again.ask("GET", "/v1/tenants/acme", key=key))[0] == 401


@pytest.mark.apache
async def test_the_api_starts_without_kafka_and_outlives_its_absence(
    own_broker: ApacheBroker, settings_env: dict[str, str], tmp_path: Path
) -> None:
    env = {
        **settings_env,
        **own_broker.settings,
        "HOOKSEAL_API_MAX_STALENESS_S": "2",
        "HOOKSEAL_API_WRITE_TIMEOUT_S": "3",
    }
    (node,) = own_broker.nodes
    async with AsyncExitStack() as stack:
        provider = await running_provider(own_broker, env, tmp_path, stack)
        worker = await provider.worker()
        api = await provider.api("before")
        await worker.ready()
        made = await api.do("POST", "/v1/tenants", {"customer_id": "acme"})

        await asyncio.to_thread(node.kill)
        fresh = await Api("after", env, tmp_path).start()
        stack.push_async_callback(fresh.stop)

        for process in (api, fresh):
            assert (await process.ask("GET", "/healthz", key=None))[0] == 200
            await process.until_unavailable("GET", "/readyz", key=None)
            await process.until_unavailable("GET", "/v1/tenants/acme", key=made["api_key"])
            await process.until_unavailable("POST", "/v1/tenants", {"customer_id": "b"})
            await process.until_unavailable(
                "POST", "/v1/events", {"customer_id": "acme", "type": "a.b", "data": {}}
            )

        await asyncio.to_thread(node.start)
        for process in (api, fresh):
            await process.ready()
            await process.do("GET", "/v1/tenants/acme", key=made["api_key"])
            await process.eventually("PATCH", "/v1/tenants/acme", {"enabled": True})
            await process.eventually(
                "POST", "/v1/events", {"customer_id": "acme", "type": "a.b", "data": {}}
            )


async def running_provider(
    broker: Broker, env: dict[str, str], folder: Path, stack: AsyncExitStack
) -> Provider:
    settings = Settings.model_validate(
        {name.removeprefix("HOOKSEAL_").lower(): value for name, value in env.items()}
    )
    provider = Provider(settings, env, folder, stack)
    await provider.start()
    return provider
