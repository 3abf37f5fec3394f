"""All workers replaced one after the other, under load: what a release costs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.e2e.conftest import PARTITIONS, closed_port, customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(170)]


async def ready(port: int) -> None:
    """Wait until a worker says that it works."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("named", [True, False], ids=["named", "nameless"])
async def test_workers_are_replaced_one_by_one_and_nothing_is_lost(
    provider: Provider, *, named: bool
) -> None:
    receiver = await provider.receiver()
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    ports = {name: closed_port() for name in "abc"}

    def settings(name: str) -> dict[str, str]:
        found = {"HOOKSEAL_ORDERING": "customer", "HOOKSEAL_METRICS_PORT": str(ports[name])}
        return found | ({"HOOKSEAL_GROUP_INSTANCE_ID": name} if named else {})

    workers = {name: await provider.worker(name, **settings(name)) for name in "abc"}
    for name, worker in workers.items():
        await worker.ready(partitions=PARTITIONS // 3)
        await ready(ports[name])
    published = 0
    last: dict[str, float] = {}
    longest = 0.0

    async def watched(customer: str, _: str) -> int:
        nonlocal longest
        now = time.monotonic()
        longest = max(longest, now - last.get(customer, now))
        last[customer] = now
        return 200

    receiver.answer = watched
    stop = asyncio.Event()

    async def load() -> None:
        nonlocal published
        while not stop.is_set():
            await asyncio.gather(*(provider.publish(one, published) for one in tenants))
            published += 1
            await asyncio.sleep(0.05)

    loading = asyncio.create_task(load())
    await receiver.until(lambda: len(receiver.accepted()) > 100)
    for name, worker in workers.items():
        worker.terminate()
        assert await worker.ended() == 0
        await provider.worker(f"{name}2", **settings(name))
        await ready(ports[name])
        seen = len(receiver.accepted())
        await receiver.until(lambda seen=seen: len(receiver.accepted()) > seen + 100)  # type: ignore[misc]
    stop.set()
    await loading
    await receiver.until(lambda: len(set(receiver.accepted())) == published * len(tenants))

    repeats = len(receiver.accepted()) - len(set(receiver.accepted()))
    print(  # noqa: T201
        f"three workers replaced, {'named' if named else 'nameless'}: {published * len(tenants)} "
        f"events, 0 lost, {repeats} repeats, longest pause of a customer {longest:.1f} s"
    )
    for tenant in tenants:
        found = list(dict.fromkeys(receiver.accepted(tenant)))
        assert found == [f"{tenant}-{number}" for number in range(published)]
    assert repeats <= published
