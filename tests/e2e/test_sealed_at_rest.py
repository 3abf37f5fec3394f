"""Events whose data no topic shows, delivered, given up and replayed as any other."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.brokers.reading import read_all
from tests.e2e.conftest import closed_port
from tests.e2e.process import BIN

if TYPE_CHECKING:
    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

SEALED = {"HOOKSEAL_SEAL_AT_REST": "true"}
PAYLOAD = "CANARY-payload-77aa"


async def publish(api: Api, event_id: str, customer: str | None = "acme") -> Any:
    event = {"type": "order.paid", "id": event_id, "data": {"secret": PAYLOAD}}
    if customer is not None:
        event["customer_id"] = customer
    return await api.do("POST", "/v1/events", event)


async def hookseal(provider: Provider, *arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(
        str(BIN / "hookseal"), *arguments, env={**os.environ, **provider.env, **SEALED}
    )
    return await process.wait()


async def shown_by_topics(provider: Provider) -> list[str]:
    """Return the topics on which the payload can be read."""
    return [
        name
        for name in provider.names.configs()
        for found in [[one async for one in read_all(provider.settings.cluster, name)]]
        if any(PAYLOAD.encode() in (one.value or b"") for one in found)
    ]


async def test_no_topic_shows_what_the_customer_gets(provider: Provider) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    await provider.tenant("away", f"http://127.0.0.1:{closed_port()}/")
    worker = await provider.worker(HOOKSEAL_RETRY_DELAYS_S="0.01", HOOKSEAL_SUSPEND_AFTER="0")
    api = await provider.api(**SEALED)
    async with asyncio.timeout(30):
        for customer in ("acme", "away"):
            while (await api.ask("GET", f"/v1/tenants/{customer}/endpoints/ep_1"))[0] != 200:
                pass

    first = await publish(api, "evt_1")
    again = await publish(api, "evt_1")
    await publish(api, "evt_2", "away")
    await publish(api, "evt_3", None)
    arguments = (
        "--customer",
        "acme",
        "--type",
        "order.paid",
        "--data",
        f'{{"secret":"{PAYLOAD}"}}',
    )
    assert await hookseal(provider, "publish", *arguments) == 0
    await receiver.until(lambda: len(receiver.accepted()) == 3)
    # The endpoint that was away: a broadcast and an event of its own.
    await provider.dead_letters_reach(2)

    assert first == again
    assert {arrival.event["data"]["secret"] for arrival in receiver.arrivals} == {PAYLOAD}
    assert await shown_by_topics(provider) == []
    assert not any(PAYLOAD in line for line in (*worker.lines, *api.lines))

    # Replayed: still sealed on the topics, and in the clear for the customer.
    url = receiver.url("away")
    await api.do("PATCH", "/v1/tenants/away/endpoints/ep_1", {"url": url})
    replayed = await api.do("POST", "/v1/tenants/away/dead-letters/replay", {})
    await receiver.until(lambda: len(receiver.accepted("away")) == 2)

    assert replayed["replayed"] == 2
    assert sorted(receiver.accepted("away")) == ["evt_2", "evt_3"]
    assert await shown_by_topics(provider) == []


async def test_what_is_sealed_under_a_key_that_is_not_known_becomes_a_dead_letter(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    await provider.worker()
    header = ("hookseal-sealed", b"1")
    value = b'{"type":"order.paid","id":"evt_1","sealed":"1:%b"}' % (b"A" * 60)

    await provider.raw(b"acme", value, header)
    await provider.raw(b"acme", b'{"type":"order.paid","id":"evt_2","sealed":7}', header)
    await provider.publish("acme", 3)
    await receiver.until(lambda: len(receiver.accepted()) == 1)

    assert sorted((await provider.reasons()).values()) == ["data_unreadable", "sealed_invalid"]
    assert receiver.accepted() == ["acme-3"]
