"""Outages of a receiver in every ordering mode: nothing lost, order kept, no human."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import pytest

from hookseal.domain.endpoint import Ordering
from hookseal.domain.event import ORDERING_KEY_HEADER
from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS, customers
from tests.e2e.test_suspension import (
    SOON,
    Outage,
    defer_events,
    endpoint,
    in_first_order,
    recovered,
    suspended,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.e2e.api import Api
    from tests.e2e.conftest import Provider
    from tests.e2e.receiver import Receiver
    from tests.e2e.worker import Worker

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(300)]

KEYS = 4
# The defaults, sixty times faster.
SIXTY_TIMES_FASTER = {
    "HOOKSEAL_RETRY_DELAYS_S": "0.016,0.033,0.066,0.133",
    "HOOKSEAL_PROBE_BASE_S": "0.5",
    "HOOKSEAL_PROBE_CAP_S": "60",
}
# With the defaults: probes 45, 105, 225 and 465 s after the first attempt. The next is at 945 s.
PROBES_IN_TEN_MINUTES = 4


def assert_order(receiver: Receiver, customer: str, ordering: str, count: int) -> None:
    """Check that each of so many events was accepted, and in the order of the mode."""
    accepted = in_first_order(receiver.accepted(customer))
    numbers = [int(event_id.rpartition("-")[2]) for event_id in accepted]
    assert sorted(numbers) == list(range(count))
    if ordering == "unordered":
        return
    queues = KEYS if ordering == "key" else 1
    for first in range(queues):
        of_queue = [number for number in numbers if number % queues == first]
        assert of_queue == sorted(of_queue)


def repeats(receiver: Receiver, customer: str) -> list[str]:
    """Return the ids of the customer's events that were accepted more than once."""
    counted = Counter(receiver.accepted(customer))
    return [event_id for event_id, count in counted.items() if count > 1]


async def publish(provider: Provider, customer: str, *numbers: int) -> None:
    """Publish the events of these numbers, under one of four ordering keys each."""
    for number in range(*numbers):
        key = (ORDERING_KEY_HEADER, f"key-{number % KEYS}".encode())
        await provider.publish(customer, number, key)


async def all_redelivered(api: Api, customer: str) -> list[str]:
    """Wait until no dead letter of the customer waits for a replay; return their reasons."""
    path = f"/v1/tenants/{customer}/dead-letters?limit=1000"
    async with asyncio.timeout(60):
        while True:
            listed: list[dict[str, Any]] = (await api.do("GET", path))["items"]
            if all(item["replayed_at"] for item in listed):
                return [item["reason"] for item in listed]


@pytest.mark.parametrize("ordering", ["partition"])
async def test_a_receiver_that_is_down_for_a_minute_misses_nothing_with_default_settings(
    provider: Provider, ordering: str
) -> None:
    down, up = await provider.receiver(), await provider.receiver()
    stuck, other = customers(2, partition=2)
    await provider.tenant(stuck, down.url(stuck))
    await provider.tenant(other, up.url(other))
    tests_own = ("HOOKSEAL_RETRY_JITTER", "HOOKSEAL_SESSION_TIMEOUT_S")
    provider.env = {name: at for name, at in provider.env.items() if name not in tests_own}
    worker = await provider.worker(HOOKSEAL_ORDERING=ordering)
    await publish(provider, stuck, 20)
    await down.until(lambda: len(down.accepted()) == 20)

    await down.close()
    for number in range(20, 80):
        await publish(provider, stuck, number, number + 1)
        await publish(provider, other, number - 20, number - 19)
        await asyncio.sleep(1)
    await up.until(lambda: len(up.accepted()) == 60)
    while_down = len(down.accepted())
    await down.open()
    await down.until(lambda: len(set(down.accepted())) == 80, timeout_s=120)
    await recovered(worker, stuck)
    await publish(provider, stuck, 80, 90)
    await down.until(lambda: len(set(down.accepted())) == 90)

    assert while_down == 20
    assert_order(down, stuck, ordering, 90)
    assert_order(up, other, ordering, 60)
    assert (repeats(down, stuck), repeats(up, other)) == ([], [])
    assert set((await provider.reasons()).values()) == {"endpoint_suspended"}


@pytest.mark.parametrize("ordering", get_args(Ordering))
async def test_an_outage_of_ten_minutes_costs_nothing_and_needs_nobody(
    provider: Provider, ordering: str
) -> None:
    down, up = await provider.receiver(), await provider.receiver()
    stuck, other = customers(2, partition=2)
    await provider.tenant(stuck, down.url(stuck))
    await provider.tenant(other, up.url(other))
    await down.close()
    worker = await provider.worker(**SIXTY_TIMES_FASTER, HOOKSEAL_ORDERING=ordering)
    api = await provider.api()

    count = 0
    while len(worker.events("endpoint.probe_failed")) < PROBES_IN_TEN_MINUTES:
        await asyncio.gather(
            publish(provider, stuck, count, count + 1), publish(provider, other, count, count + 1)
        )
        count += 1
        # Ten events a second, which are ten a minute at the speed of the defaults.
        await asyncio.sleep(0.1)
    await up.until(lambda: len(up.accepted(other)) == count)
    while_down = down.accepted(stuck)
    await down.open()
    await recovered(worker, stuck)
    await publish(provider, stuck, count, count + 10)
    await down.until(lambda: len(set(down.accepted(stuck))) == count + 10)
    reasons = await all_redelivered(api, stuck)
    # The event that waits first: of any of the keys, where each is delivered on its own.
    attempts_of = Counter(line["event_id"] for line in attempts(worker))
    first, _ = attempts_of.most_common(1)[0]
    numbers = [line["attempt"] for line in attempts(worker) if line["event_id"] == first]

    assert while_down == []
    assert_order(down, stuck, ordering, count + 10)
    assert_order(up, other, ordering, count)
    assert (repeats(down, stuck), repeats(up, other)) == ([], [])
    assert set(reasons) == {"endpoint_suspended"}
    if ordering != "unordered":
        # The numbers go on from the attempts before the suspension.
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) > 5 + PROBES_IN_TEN_MINUTES


async def holder_and_successor(provider: Provider, customer: str, **env: str) -> list[Worker]:
    """Start two workers; return the one that delivers the customer's events, then the other."""
    workers = [await provider.worker(name, **env) for name in ("a", "b")]
    for worker in workers:
        await worker.ready(partitions=PARTITIONS // 2)
    partition = partition_of(customer, PARTITIONS)
    return sorted(workers, key=lambda worker: partition not in (worker.partitions or []))


async def kill(worker: Worker) -> None:
    worker.kill()
    await worker.ended()


async def while_suspending(
    provider: Provider, receiver: Receiver, customer: str, **env: str
) -> None:
    outage = Outage(receiver, customer)
    holder, successor = await holder_and_successor(provider, customer, **env)
    await publish(provider, customer, 60)
    # The endpoint is to be suspended next.
    await holder.until(lambda: any(at["attempt"] == 2 for at in attempts(holder)))
    await kill(holder)
    await suspended(successor, customer)
    await defer_events(provider, customer, 60)
    outage.healed.set()
    await recovered(successor, customer)


async def while_deferring(
    provider: Provider, receiver: Receiver, customer: str, **env: str
) -> None:
    outage = Outage(receiver, customer)
    holder, successor = await holder_and_successor(provider, customer, **env)
    await publish(provider, customer, 60)
    await suspended(holder, customer)
    await kill(holder)
    await defer_events(provider, customer, 60)
    outage.healed.set()
    await recovered(successor, customer)


async def while_draining(provider: Provider, receiver: Receiver, customer: str, **env: str) -> None:
    outage = Outage(receiver, customer, takes_s=0.01)
    holder, successor = await holder_and_successor(provider, customer, **env)
    await publish(provider, customer, 60)
    await defer_events(provider, customer, 60)
    outage.healed.set()
    await receiver.until(lambda: len(receiver.accepted()) > 20)
    await kill(holder)
    await recovered(successor, customer)


async def while_pausing(provider: Provider, receiver: Receiver, customer: str, **env: str) -> None:
    outage = Outage(receiver, customer, takes_s=0.2)
    outage.healed.set()
    holder, successor = await holder_and_successor(provider, customer, **env)
    api = await provider.api()
    await publish(provider, customer, 60)
    await receiver.until(lambda: len(receiver.accepted()) > 10)
    path = f"/v1/tenants/{customer}/endpoints/ep_1"
    await api.do("POST", f"{path}/pause")
    await kill(holder)
    await suspended(successor, customer)
    before = len(set(receiver.accepted()))
    await defer_events(provider, customer, 60 - before)
    shown = await endpoint(api, customer, "paused")
    assert (shown["suspended_because"], len(set(receiver.accepted()))) == ("paused", before)
    await api.do("POST", f"{path}/resume")
    await recovered(successor, customer)


def attempts(worker: Worker) -> list[dict[str, Any]]:
    return worker.events("delivery.attempted")


@pytest.mark.parametrize("ordering", ["partition", "key"])
@pytest.mark.parametrize("step", [while_suspending, while_deferring, while_draining, while_pausing])
async def test_the_second_worker_goes_on_when_the_first_is_killed(
    provider: Provider, step: Callable[..., Awaitable[None]], ordering: str
) -> None:
    receiver = await provider.receiver()
    (customer,) = customers(1)
    await provider.tenant(customer, receiver.url(customer))

    await step(provider, receiver, customer, **SOON, HOOKSEAL_ORDERING=ordering)
    await publish(provider, customer, 60, 80)
    await receiver.until(lambda: len(set(receiver.accepted())) == 80)

    assert_order(receiver, customer, ordering, 80)
    print(f"{step.__name__}: {len(repeats(receiver, customer))} of 80 repeated")  # noqa: T201
    assert set((await provider.reasons()).values()) <= {"endpoint_suspended"}
