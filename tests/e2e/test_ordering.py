"""Customers side by side; few repeats; nobody delivers what is another's."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hookseal.delivery.ordering import offset_metadata
from hookseal.domain.event import ORDERING_KEY_HEADER
from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS, closed_port, customers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiokafka.structs import OffsetAndMetadata

    from hookseal.domain.record import Position
    from tests.e2e.conftest import Provider
    from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

BY_CUSTOMER = {"HOOKSEAL_ORDERING": "customer"}
# No attempt takes so long, unless its worker is frozen meanwhile.
FROZEN_S = 2.0


@asynccontextmanager
async def committed_of(
    provider: Provider,
) -> AsyncIterator[Callable[[], Awaitable[dict[int, OffsetAndMetadata]]]]:
    """Yield what asks for the group's commits on `events`, by partition."""
    admin = AIOKafkaAdminClient(**provider.settings.cluster.arguments())
    await admin.start()

    async def ask() -> dict[int, OffsetAndMetadata]:
        found = await admin.list_consumer_group_offsets(provider.settings.cluster.app_id)
        return {
            place.partition: committed
            for place, committed in found.items()
            if place.topic == provider.names.events
        }

    try:
        yield ask
    finally:
        await admin.close()


def logged_at(line: dict[str, Any]) -> datetime:
    """Return when the line was written."""
    return datetime.fromisoformat(line["timestamp"])


async def twelve(provider: Provider, receiver: Receiver) -> list[str]:
    """Make twelve customers; return their ids."""
    tenants = customers(12)
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    return tenants


async def stuck_beside_others(
    provider: Provider, receiver: Receiver, healed: asyncio.Event, count: int
) -> list[str]:
    """Publish for a customer that fails and three that do not, all of one partition."""
    stuck, *others = customers(4, partition=2)

    async def answer(customer: str, _: str) -> int:
        return 503 if customer == stuck and not healed.is_set() else 200

    receiver.answer = answer
    for customer in (stuck, *others):
        await provider.tenant(customer, receiver.url(customer))
    await provider.publish(stuck, 0)
    await provider.publish(stuck, 1)
    for number in range(count):
        await asyncio.gather(*(provider.publish(customer, number) for customer in others))
    return [stuck, *others]


@pytest.mark.parametrize("ordering", ["customer", "unordered"])
async def test_a_stuck_customer_holds_nobody_else_of_its_partition(
    provider: Provider, ordering: str
) -> None:
    receiver = await provider.receiver()
    stuck, *others = await stuck_beside_others(provider, receiver, asyncio.Event(), 50)

    await provider.worker(HOOKSEAL_ORDERING=ordering, HOOKSEAL_RETRY_DELAYS_S="3600")
    await receiver.until(lambda: len(receiver.accepted()) == 150)

    for customer in others:
        expected = [f"{customer}-{number}" for number in range(50)]
        accepted = receiver.accepted(customer)
        assert sorted(accepted) == sorted(expected)
        assert ordering == "unordered" or accepted == expected
    asked = {arrival.event_id for arrival in receiver.arrivals} - set(receiver.accepted())
    in_order, aside = {f"{stuck}-0"}, {f"{stuck}-0", f"{stuck}-1"}
    assert asked == (in_order if ordering == "customer" else aside)
    assert await provider.dead_letters() == []


async def test_a_kill_repeats_what_was_in_flight_and_not_what_was_finished_above(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    healed = asyncio.Event()
    stuck, *others = await stuck_beside_others(provider, receiver, healed, 100)
    worker = await provider.worker("a", **BY_CUSTOMER, HOOKSEAL_RETRY_DELAYS_S="3600")
    await receiver.until(lambda: len(receiver.accepted()) == 300)
    async with committed_of(provider) as committed:

        async def finished_above() -> int:
            found = (await committed()).get(2)
            if found is None:
                return 0
            return sum(end - at for at, end in offset_metadata.decode(found.metadata, found.offset))

        async with asyncio.timeout(30):
            while await finished_above() < 300:
                pass
        assert (await committed())[2].offset == 0

    worker.kill()
    await worker.ended()
    healed.set()
    await provider.worker("b", **BY_CUSTOMER)
    await receiver.until(lambda: len(receiver.accepted(stuck)) == 2)

    repeats = len(receiver.accepted()) - len(set(receiver.accepted()))
    print(f"a kill above a mark that stands still: {repeats} repeats, 300 without notes")  # noqa: T201
    assert repeats == 0
    assert receiver.accepted(stuck) == [f"{stuck}-0", f"{stuck}-1"]
    for customer in others:
        assert receiver.accepted(customer) == [f"{customer}-{number}" for number in range(100)]


async def test_a_kill_under_load_repeats_what_was_on_the_wire_or_not_committed(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    begun: set[str] = set()

    async def answer(_: str, event_id: str) -> int:
        begun.add(event_id)
        await asyncio.sleep(0.01)
        return 200

    receiver.answer = answer
    tenants = await twelve(provider, receiver)
    worker = await provider.worker("a", **BY_CUSTOMER)
    places: dict[str, Position] = {}
    for number in range(150):
        positions = await asyncio.gather(*(provider.publish(each, number) for each in tenants))
        places |= {f"{each}-{number}": at for each, at in zip(tenants, positions, strict=True)}
    await receiver.until(lambda: len(receiver.accepted()) >= 900)

    worker.kill()
    was_accepted = set(receiver.accepted())
    await worker.ended()
    async with committed_of(provider) as committed:
        marks = await committed()

    def is_committed(event_id: str) -> bool:
        at = places[event_id]
        mark = marks.get(at.partition)
        if mark is None:
            return False
        above = offset_metadata.decode(mark.metadata, mark.offset)
        return at.offset < mark.offset or any(start <= at.offset < end for start, end in above)

    # What was under way when it was killed may have come to the receiver only now.
    was_on_wire = begun - was_accepted
    lost_notes = {event_id for event_id in was_accepted if not is_committed(event_id)}
    await provider.worker("b", **BY_CUSTOMER)
    await receiver.until(lambda: len(set(receiver.accepted())) == 150 * len(tenants))

    accepted = receiver.accepted()
    repeated = {event_id for event_id, times in Counter(accepted).items() if times > 1}
    print(  # noqa: T201
        f"a kill under load: {len(was_on_wire)} on the wire, {len(lost_notes)} accepted since the "
        f"last commit, {len(repeated)} repeats"
    )
    assert repeated <= was_on_wire | lost_notes
    for tenant in tenants:
        first_arrivals = list(dict.fromkeys(receiver.accepted(tenant)))
        assert first_arrivals == [f"{tenant}-{number}" for number in range(150)]


async def test_partitions_that_move_take_no_event_twice(provider: Provider) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, __: str) -> int:
        # So long that a partition always has some on the wire when it moves.
        await asyncio.sleep(0.2)
        return 200

    receiver.answer = answer
    tenants = await twelve(provider, receiver)
    first = await provider.worker("a", **BY_CUSTOMER)
    for number in range(40):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) >= 60)

    second = await provider.worker("b", **BY_CUSTOMER)
    await second.ready(partitions=PARTITIONS // 2)
    await receiver.until(lambda: len(receiver.accepted()) >= 240)
    first.terminate()
    assert await first.ended() == 0
    await receiver.until(lambda: len(set(receiver.accepted())) == 480)

    for tenant in tenants:
        assert receiver.accepted(tenant) == [f"{tenant}-{number}" for number in range(40)]


@pytest.mark.parametrize("ordering", ["partition", "customer"])
async def test_a_worker_that_was_frozen_starts_nothing_on_what_it_lost(
    provider: Provider, ordering: str
) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, __: str) -> int:
        await asyncio.sleep(0.02)
        return 200

    receiver.answer = answer
    tenants = await twelve(provider, receiver)
    frozen = await provider.worker("a", HOOKSEAL_ORDERING=ordering)
    for number in range(60):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) >= 50)

    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        successor = await provider.worker("b", HOOKSEAL_ORDERING=ordering)
        await successor.ready(partitions=PARTITIONS)
        await receiver.until(lambda: len(receiver.accepted()) >= 200)
    finally:
        thawed_at = datetime.now(UTC)
        os.kill(frozen.pid, signal.SIGCONT)
    async with committed_of(provider) as committed:
        before = {partition: at.offset for partition, at in (await committed()).items()}
        await frozen.until(lambda: len(frozen.events("worker.partitions_assigned")) >= 2)
        after = {partition: at.offset for partition, at in (await committed()).items()}
    assigned_at = logged_at(frozen.events("worker.partitions_assigned")[1])
    # By what the lines say: one of before the freeze may be read after it.
    late = [
        line
        for line in frozen.events("delivery.attempted")
        if thawed_at < logged_at(line) < assigned_at
    ]
    lanes = [line["partition" if ordering == "partition" else "customer_id"] for line in late]
    await receiver.until(lambda: len(set(receiver.accepted())) == 720)

    # What each lane had on the wire may end. None began another, and no commit went back.
    assert len(lanes) == len(set(lanes))
    assert all(after[partition] >= before[partition] for partition in before)
    for tenant in tenants:
        first_arrivals = list(dict.fromkeys(receiver.accepted(tenant)))
        assert first_arrivals == [f"{tenant}-{number}" for number in range(60)]


@pytest.mark.parametrize("ordering", ["partition", "customer"])
async def test_a_worker_that_was_frozen_does_not_deliver_again_what_another_finished(
    provider: Provider, ordering: str
) -> None:
    receiver = await provider.receiver()
    healed = asyncio.Event()

    async def answer(_: str, __: str) -> int:
        return 200 if healed.is_set() else 503

    receiver.answer = answer
    tenants = await twelve(provider, receiver)
    # When it is thawed its backoff is over, and it would make the next attempt at once.
    env = {"HOOKSEAL_ORDERING": ordering, "HOOKSEAL_RETRY_DELAYS_S": "5,5,5,5"}
    frozen = await provider.worker("a", **env)
    for number in range(10):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))
    # All that may begin is in backoff, and nothing on the wire.
    lanes = {partition_of(tenant, PARTITIONS) for tenant in tenants}
    heads = len(lanes if ordering == "partition" else tenants)
    await frozen.until(lambda: len(frozen.events("delivery.attempted")) == heads)
    assigned = len(frozen.events("worker.partitions_assigned"))

    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        healed.set()
        successor = await provider.worker("b", **env)
        await successor.ready(partitions=PARTITIONS)
        await receiver.until(lambda: len(receiver.accepted()) == 120)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    await frozen.until(lambda: len(frozen.events("worker.partitions_assigned")) > assigned)
    assert frozen.partitions
    for number in range(10, 13):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))
    await receiver.until(lambda: len(set(receiver.accepted())) == 156)

    # On a slow machine the first backoff may be over before it is frozen: what was on the wire
    # then may come once more, and nothing else.
    on_wire = {
        line["event_id"]
        for line in frozen.events("delivery.attempted")
        if line["duration_s"] > FROZEN_S
    }
    for tenant in tenants:
        accepted = receiver.accepted(tenant)
        assert list(dict.fromkeys(accepted)) == [f"{tenant}-{number}" for number in range(13)]
        repeated = {event_id for event_id, count in Counter(accepted).items() if count > 1}
        assert repeated <= on_wire


async def test_a_hold_of_all_partitions_keeps_the_worker_in_its_group(provider: Provider) -> None:
    receiver = await provider.receiver()

    async def answer(_: str, event_id: str) -> int:
        seen = [arrival.event_id for arrival in receiver.arrivals].count(event_id)
        return 503 if event_id.endswith("-0") and seen == 0 else 200

    receiver.answer = answer
    tenants = [customers(1, partition=partition)[0] for partition in range(PARTITIONS)]
    for tenant in tenants:
        await provider.tenant(tenant, receiver.url(tenant))
    # More than the queues take, so that nothing at all is fetched meanwhile.
    for number in range(40):
        await asyncio.gather(*(provider.publish(tenant, number) for tenant in tenants))

    worker = await provider.worker(
        app="tests.e2e.short_poll",
        MAX_POLL_INTERVAL_S="4",
        HOOKSEAL_MAX_IN_PROGRESS="16",
        HOOKSEAL_RETRY_DELAYS_S="12",
    )
    await receiver.until(lambda: len(receiver.accepted()) == 40 * PARTITIONS)

    assert len(worker.events("worker.partitions_assigned")) == 1
    for tenant in tenants:
        assert receiver.accepted(tenant) == [f"{tenant}-{number}" for number in range(40)]


async def test_a_worker_with_a_name_takes_its_partitions_back_and_no_other_pauses(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    tenants = await twelve(provider, receiver)
    # So long that only the name can bring the partitions back in the time of the test.
    patient = {"HOOKSEAL_SESSION_TIMEOUT_S": "45", "HOOKSEAL_HEARTBEAT_INTERVAL_S": "1"}
    first = await provider.worker("a", HOOKSEAL_GROUP_INSTANCE_ID="a", **patient)
    await first.ready(partitions=PARTITIONS)
    second = await provider.worker("b", HOOKSEAL_GROUP_INSTANCE_ID="b", **patient)
    await second.ready(partitions=PARTITIONS // 2)
    await first.ready(partitions=PARTITIONS // 2)
    held, assignments = first.partitions, len(second.events("worker.partitions_assigned"))
    await asyncio.gather(*(provider.publish(tenant, 0) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) == 12)

    first.terminate()
    assert await first.ended() == 0
    await asyncio.gather(*(provider.publish(tenant, 1) for tenant in tenants))
    again = await provider.worker("a2", HOOKSEAL_GROUP_INSTANCE_ID="a", **patient)
    await again.ready()
    await receiver.until(lambda: len(receiver.accepted()) == 24, timeout_s=30)

    assert again.partitions == held
    assert len(second.events("worker.partitions_assigned")) == assignments
    for tenant in tenants:
        assert receiver.accepted(tenant) == [f"{tenant}-0", f"{tenant}-1"]


async def test_a_table_is_recovered_though_a_fetch_of_before_is_still_under_way(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    tenants = await twelve(provider, receiver)
    first = await provider.worker("a", app="tests.e2e.slow_recovery")
    await first.ready(partitions=PARTITIONS)
    await asyncio.gather(*(provider.publish(tenant, 0) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) == 12)

    # Two changes of the assignment for the first; each recovers what it holds anew.
    second = await provider.worker("b", app="tests.e2e.slow_recovery")
    await second.ready(partitions=PARTITIONS // 2)
    await asyncio.gather(*(provider.publish(tenant, 1) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) == 24)
    second.terminate()
    assert await second.ended() == 0
    await asyncio.gather(*(provider.publish(tenant, 2) for tenant in tenants))
    await receiver.until(lambda: len(receiver.accepted()) == 36)


@pytest.mark.parametrize("ordering", ["endpoint", "key"])
async def test_an_endpoint_waits_for_no_other_endpoint_of_its_customer(
    provider: Provider, ordering: str
) -> None:
    receiver = await provider.receiver()
    (customer,) = customers(1)
    hanging = await provider.receiver()
    healed = asyncio.Event()

    async def answer(*_: str) -> int:
        await healed.wait()
        return 200

    hanging.answer = answer
    failing = f"http://127.0.0.1:{closed_port()}/{customer}/ep_2"
    await provider.tenant(customer, receiver.url(customer), failing, hanging.url(customer, "ep_3"))
    for number in range(50):
        await provider.publish(customer, number)

    await provider.worker(HOOKSEAL_ORDERING=ordering, HOOKSEAL_RETRY_DELAYS_S="3600")
    await receiver.until(lambda: len(receiver.accepted(customer)) == 50)

    assert receiver.accepted(customer) == [f"{customer}-{number}" for number in range(50)]
    assert hanging.arrivals == []
    healed.set()
    await hanging.until(lambda: len(set(hanging.accepted())) == 50)
    assert list(dict.fromkeys(hanging.accepted())) == receiver.accepted(customer)


async def test_an_endpoint_that_relaxes_the_mode_neither_waits_nor_holds(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    customer, neighbour = customers(2, partition=1)
    hanging = await provider.receiver()
    healed = asyncio.Event()

    async def answer(*_: str) -> int:
        await healed.wait()
        return 200

    hanging.answer = answer
    urls = receiver.url(customer), hanging.url(customer, "ep_2")
    await provider.tenant(customer, *urls)
    await provider.change(customer, "ep_2", ordering="endpoint")
    await provider.tenant(neighbour, receiver.url(neighbour))
    for number in range(20):
        await provider.publish(customer, number)
        await provider.publish(neighbour, number)

    await provider.worker(HOOKSEAL_ORDERING="partition")
    await receiver.until(lambda: len(receiver.accepted()) == 40)

    assert receiver.accepted() == [
        f"{name}-{number}" for number in range(20) for name in (customer, neighbour)
    ]
    assert hanging.arrivals == []
    healed.set()
    await hanging.until(lambda: len(set(hanging.accepted())) == 20)
    assert list(dict.fromkeys(hanging.accepted())) == receiver.accepted(customer)


async def test_a_blocked_ordering_key_holds_no_other_key(provider: Provider) -> None:
    receiver = await provider.receiver()
    (customer,) = customers(1)

    async def answer(_: str, event_id: str) -> int:
        return 503 if event_id == f"{customer}-0" else 200

    receiver.answer = answer
    await provider.tenant(customer, receiver.url(customer))
    for number in range(200):
        # Number 0 blocks the events 50, 100 and 150.
        key = (ORDERING_KEY_HEADER, f"key-{number % 50}".encode())
        await provider.publish(customer, number, key)

    await provider.worker(HOOKSEAL_ORDERING="key", HOOKSEAL_RETRY_DELAYS_S="3600")
    await receiver.until(lambda: len(receiver.accepted()) == 196)

    accepted = [int(event_id.rpartition("-")[2]) for event_id in receiver.accepted()]
    assert set(range(200)) - set(accepted) == {0, 50, 100, 150}
    for first in range(1, 50):
        of_key = [at for at in accepted if at % 50 == first]
        assert of_key == [first, first + 50, first + 100, first + 150]


@pytest.mark.parametrize("ordering", ["customer", "endpoint", "key"])
async def test_a_customer_that_floods_itself_holds_nobody_and_gets_everything_in_order(
    provider: Provider, ordering: str
) -> None:
    receiver = await provider.receiver()
    flooding, neighbour = customers(2, partition=2)
    healed = asyncio.Event()

    async def answer(customer: str, _: str) -> int:
        if customer == flooding and not healed.is_set():
            await asyncio.sleep(0.5)
        return 200

    receiver.answer = answer
    for customer in (flooding, neighbour):
        await provider.tenant(customer, receiver.url(customer))
    worker = await provider.worker(HOOKSEAL_ORDERING=ordering)
    for number in range(20):
        await asyncio.gather(
            *(provider.publish(flooding, number * 100 + at) for at in range(100)),
            provider.publish(neighbour, number),
        )
    await receiver.until(lambda: len(receiver.accepted(neighbour)) == 20)
    await worker.until(lambda: bool(worker.events("endpoint.suspended")))

    waiting = 2000 - len(receiver.accepted(flooding))
    healed.set()
    await receiver.until(lambda: len(set(receiver.accepted(flooding))) == 2000, timeout_s=120)

    assert waiting > 1000
    assert [line["why"] for line in worker.events("endpoint.suspended")] == ["behind"]
    assert receiver.accepted(neighbour) == [f"{neighbour}-{number}" for number in range(20)]
    first_arrivals = list(dict.fromkeys(receiver.accepted(flooding)))
    assert first_arrivals == [f"{flooding}-{number}" for number in range(2000)]


@pytest.mark.parametrize("ordering", ["partition", "customer"])
async def test_a_relaxed_endpoint_holds_nobody_in_the_strict_modes(
    provider: Provider, ordering: str
) -> None:
    receiver, hanging = await provider.receiver(), await provider.receiver()
    relaxed, neighbour = customers(2, partition=2)
    healed = asyncio.Event()

    async def answer(*_: str) -> int:
        await healed.wait()
        return 200

    hanging.answer = answer
    await provider.tenant(relaxed, receiver.url(relaxed), hanging.url(relaxed, "ep_2"))
    await provider.change(relaxed, "ep_2", ordering="endpoint")
    await provider.tenant(neighbour, receiver.url(neighbour))
    for number in range(50):
        await provider.publish(relaxed, number)
        await provider.publish(neighbour, number)

    worker = await provider.worker(HOOKSEAL_ORDERING=ordering, HOOKSEAL_RETRY_DELAYS_S="3600")
    await receiver.until(lambda: len(receiver.accepted()) == 100)
    accepted = [receiver.accepted(customer) for customer in (relaxed, neighbour)]
    were_accepted = hanging.accepted()
    # A successor delivers again what was not accepted, and nothing else.
    async with committed_of(provider) as committed:
        while not (await committed())[2].metadata:
            pass
    worker.kill()
    await worker.ended()
    healed.set()
    await provider.worker("b", HOOKSEAL_ORDERING=ordering)
    await hanging.until(lambda: len(set(hanging.accepted())) == 50)

    assert were_accepted == []
    assert accepted == [
        [f"{customer}-{number}" for number in range(50)] for customer in (relaxed, neighbour)
    ]
    assert list(dict.fromkeys(hanging.accepted())) == accepted[0]


@pytest.mark.parametrize("answer_s", [0.5, 4.0])
async def test_a_customer_that_holds_its_partition_is_deferred(
    provider: Provider, answer_s: float
) -> None:
    receiver = await provider.receiver()
    holding, neighbour = customers(2, partition=2)
    healed = asyncio.Event()

    async def answer(customer: str, _: str) -> int:
        if customer == holding and not healed.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(healed.wait(), answer_s)
        return 204

    receiver.answer = answer
    for customer in (holding, neighbour):
        await provider.tenant(customer, receiver.url(customer))
    for number in range(60):
        await provider.publish(holding, number)
    await provider.publish(neighbour, 0)

    worker = await provider.worker(HOOKSEAL_PARTITION_HOLD_MAX_S="2")
    await receiver.until(lambda: len(receiver.accepted(neighbour)) == 1)
    delivered = len(receiver.accepted(holding))
    healed.set()
    await receiver.until(lambda: len(set(receiver.accepted(holding))) == 60)

    assert delivered < 60
    assert [line["why"] for line in worker.events("endpoint.suspended")] == ["behind"]
    assert receiver.accepted(holding) == [f"{holding}-{number}" for number in range(60)]


async def test_an_endpoint_s_own_schedule_holds_its_partition_no_longer_than_allowed(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    failing, neighbour = customers(2, partition=2)
    # As stored before the operator set the limit.
    await provider.tenant(
        failing, f"http://127.0.0.1:{closed_port()}/", retry_delays_s=(3600.0,) * 50
    )
    await provider.tenant(neighbour, receiver.url(neighbour))
    await provider.publish(failing, 0)
    await provider.publish(neighbour, 0)

    worker = await provider.worker(HOOKSEAL_ENDPOINT_RETRY_MAX_S="1")
    await receiver.until(lambda: len(receiver.accepted(neighbour)) == 1)

    assert [line["why"] for line in worker.events("endpoint.suspended")] == ["exhausted"]
    assert [line["attempt"] for line in worker.events("delivery.attempted")][:2] == [1, 2]
