"""What is kept when workers die, leave and join."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from hookseal.kafka import topics
from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS, closed_port, customers

if TYPE_CHECKING:
    from tests.e2e.conftest import Provider

# No guarantee is proved on the embedded broker: it holds a group's join for seconds, tells
# ends of logs that lag, and once a topic has fewer partitions it gives new ones as few.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(240)]


async def test_a_successor_goes_on_when_a_worker_is_killed_in_backoff(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    healed = False

    async def answer(customer: str, event_id: str) -> int:
        return 503 if event_id == "acme-5" and not healed else 200

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    first = await provider.worker("a", HOOKSEAL_RETRY_DELAYS_S="3600")
    for number in range(10):
        await provider.publish("acme", number)
    await receiver.until(lambda: any(a.event_id == "acme-5" for a in receiver.arrivals))

    first.kill()
    await first.ended()
    healed = True
    await provider.worker("b")
    await receiver.until(lambda: "acme-9" in receiver.accepted())

    events = [f"acme-{number}" for number in range(10)]
    assert list(dict.fromkeys(receiver.accepted())) == events
    assert [arrival.event_id for arrival in receiver.arrivals].count("acme-5") >= 2
    assert await provider.dead_letters() == []


async def test_nothing_is_lost_and_order_is_kept_while_workers_join_and_leave(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, event_id: str) -> int:
        seen = [a.event_id for a in receiver.arrivals].count(event_id)
        return 503 if event_id.endswith("7") and seen == 0 else 200

    receiver.answer = answer
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    fast = {"HOOKSEAL_RETRY_BASE_S": "0.2"}
    first = await provider.worker("a", **fast)
    await provider.worker("b", **fast)
    total = 0
    stop = asyncio.Event()

    async def publish() -> None:
        nonlocal total
        while total < 60 or not stop.is_set():
            await asyncio.gather(*(provider.publish(tenant, total) for tenant in tenants))
            total += 1
            # A pace, not a wait: events are to arrive while workers come and go.
            await asyncio.sleep(0.2)

    publishing = asyncio.create_task(publish())
    await receiver.until(lambda: len(receiver.accepted()) >= 100)
    third = await provider.worker("c", **fast)
    await third.ready()
    seen = len(receiver.accepted())
    await receiver.until(lambda: len(receiver.accepted()) >= seen + 50)
    first.terminate()
    assert await first.ended() == 0
    stop.set()
    await publishing
    await receiver.until(lambda: len(set(receiver.accepted())) == total * len(tenants))

    for tenant in tenants:
        # Repeats may follow, where a commit did not make it before a partition moved.
        first_arrivals = list(dict.fromkeys(receiver.accepted(tenant)))
        assert first_arrivals == [f"{tenant}-{number}" for number in range(total)]
    assert await provider.dead_letters() == []


async def test_sigterm_in_a_long_backoff_leaves_in_time_and_dead_letters_nothing(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    asked = asyncio.Event()

    async def answer(_: str, __: str) -> int:
        asked.set()
        return 503

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    worker = await provider.worker("a", HOOKSEAL_RETRY_DELAYS_S="60,60,60")
    await provider.publish("acme", 0)
    await asked.wait()
    await worker.until(lambda: bool(worker.events("delivery.attempted")))

    worker.terminate()
    status = await worker.ended(timeout_s=20)

    assert status == 0, worker.tail()
    assert await provider.dead_letters() == []
    receiver.answer = None
    await provider.worker("b")
    await receiver.until(lambda: receiver.accepted() == ["acme-0"])


async def test_sigterm_lets_a_running_attempt_end_and_does_not_repeat_it(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    asked, proceed = asyncio.Event(), asyncio.Event()

    async def answer(_: str, event_id: str) -> int:
        if event_id == "acme-0":
            asked.set()
            await proceed.wait()
        return 200

    receiver.answer = answer
    await provider.tenant("acme", receiver.url("acme"))
    worker = await provider.worker("a")
    await provider.publish("acme", 0)
    await provider.publish("acme", 1)
    await asked.wait()

    worker.terminate()
    await worker.until(lambda: bool(worker.events("worker.draining")))
    proceed.set()
    assert await worker.ended(timeout_s=20) == 0, worker.tail()
    assert receiver.accepted() == ["acme-0"]
    await provider.worker("b")
    await receiver.until(lambda: len(receiver.accepted()) >= 2)

    assert receiver.accepted() == ["acme-0", "acme-1"]


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_the_table_is_back_before_the_first_delivery(provider: Provider, store: str) -> None:
    receiver = await provider.receiver()
    tenants = customers(60)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    first = await provider.worker("a", HOOKSEAL_STORE=store)
    for tenant in tenants:
        await provider.publish(tenant, 0)
    await receiver.until(lambda: len(set(receiver.accepted())) == len(tenants))
    first.kill()
    await first.ended()

    for tenant in tenants:
        await provider.publish(tenant, 1)
    # Another name is another data folder: the table can only come from the changelog.
    await provider.worker("b", HOOKSEAL_STORE=store, HOOKSEAL_UNKNOWN_TENANT_WAIT_S="0")
    await receiver.until(lambda: len(set(receiver.accepted())) == 2 * len(tenants))

    assert await provider.dead_letters() == []


async def test_a_start_on_topics_that_differ_is_refused_with_a_clear_message(
    provider: Provider,
) -> None:
    prefix = f"{provider.settings.topic_prefix}odd."
    names = topics.TopicNames(prefix)
    await provider.make_topics(
        {name: 4 if name == names.commands else 6 for name in names.configs()}
    )

    worker = await provider.worker("a", HOOKSEAL_TOPIC_PREFIX=prefix)
    status = await worker.ended(timeout_s=30)

    assert status == 78
    (line,) = worker.events("worker.start_failed")
    assert line["code"] == "partitions_differ"
    assert f"{names.commands} has 4" in line["message"]
    assert "Traceback" not in "\n".join(worker.lines)


async def test_a_start_without_topics_says_how_to_make_them(provider: Provider) -> None:
    worker = await provider.worker("a", HOOKSEAL_TOPIC_PREFIX="nothing-here.")

    assert await worker.ended(timeout_s=30) == 78
    (line,) = worker.events("worker.start_failed")
    assert line["code"] == "topic_missing"
    assert "hookseal topics create" in line["message"]


async def test_a_start_without_a_broker_says_so_and_may_be_tried_again(
    provider: Provider,
) -> None:
    worker = await provider.worker("a", HOOKSEAL_KAFKA_BOOTSTRAP=f"127.0.0.1:{closed_port()}")

    assert await worker.ended(timeout_s=60) == 69
    (line,) = worker.events("worker.start_failed")
    assert line["code"] == "broker_unreachable"


async def test_a_start_with_a_setting_that_is_wrong_says_which(provider: Provider) -> None:
    worker = await provider.worker("a", HOOKSEAL_MAX_IN_PROGRESS="many")

    assert await worker.ended(timeout_s=30) == 78
    (line,) = worker.lines
    assert line.startswith("settings_invalid: HOOKSEAL_MAX_IN_PROGRESS: ")


async def test_a_partition_goes_on_where_it_was_after_a_quiet_restart(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    partition = partition_of("acme", PARTITIONS)
    first = await provider.worker("a")
    for number in range(50):
        await provider.publish("acme", number, partition=partition)
    await receiver.until(lambda: len(receiver.accepted()) == 50)

    first.terminate()
    assert await first.ended() == 0
    await provider.worker("b")
    await provider.publish("acme", 50)
    await receiver.until(lambda: "acme-50" in receiver.accepted())

    # Everything finished was committed on the way out: nothing is sent twice.
    assert receiver.accepted() == [f"acme-{number}" for number in range(51)]


@pytest.mark.extended
async def test_nothing_is_lost_while_workers_are_killed_again_and_again(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, event_id: str) -> int:
        seen = [arrival.event_id for arrival in receiver.arrivals].count(event_id)
        return 503 if event_id.endswith("3") and seen == 0 else 200

    receiver.answer = answer
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    fast = {"HOOKSEAL_RETRY_BASE_S": "0.2"}
    workers = [await provider.worker(f"w{number}", **fast) for number in range(2)]
    published = dict.fromkeys(tenants, 0)
    going_on = asyncio.Event()
    going_on.set()

    async def publish() -> None:
        while going_on.is_set():
            for tenant in tenants:
                await provider.publish(tenant, published[tenant])
                published[tenant] += 1
            # A pace, not a wait: events are to be in hand whenever a worker dies.
            await asyncio.sleep(0.1)

    def has_gone_on(seen: int) -> bool:
        return len(set(receiver.accepted())) >= seen + 60

    publishing = asyncio.create_task(publish())
    for number in range(6):
        await receiver.until(partial(has_gone_on, len(set(receiver.accepted()))))
        victim = workers.pop(0)
        victim.kill()
        await victim.ended()
        workers.append(await provider.worker(f"r{number}", **fast))
    going_on.clear()
    await publishing
    await receiver.until(lambda: len(set(receiver.accepted())) == sum(published.values()))

    for tenant in tenants:
        first_arrivals = list(dict.fromkeys(receiver.accepted(tenant)))
        assert first_arrivals == [f"{tenant}-{n}" for n in range(published[tenant])]
    assert await provider.dead_letters() == []
    repeats = len(receiver.accepted()) - len(set(receiver.accepted()))
    print(f"6 kills, {sum(published.values())} events, {repeats} repeats")  # noqa: T201
