"""Kafka transactions of others: aborted, interleaved and hanging, on every topic that is read."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from hookseal.domain.replay import DrainedEntry, encode
from hookseal.kafka.partitioner import partition_of
from tests.e2e.conftest import PARTITIONS, closed_port
from tests.e2e.test_odd_topics import list_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.conftest import Provider

# The embedded broker has no transactions.
pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

HOME = partition_of("acme", PARTITIONS)
FAST_OR_NOT = pytest.mark.parametrize("fast_path", ["true", "false"])
# The broker looks for expired transactions every 10 s.
EXPIRES_MS = 4_000


class Transactional:
    """A transactional producer, as Kafka Streams uses one."""

    def __init__(self, provider: Provider, client: AIOKafkaProducer) -> None:
        self._provider = provider
        self._client = client
        self.begin = client.begin_transaction
        self.commit = client.commit_transaction
        self.abort = client.abort_transaction

    async def send(self, number: int) -> None:
        """Write the event `acme-<number>` in a batch of its own."""
        event = {"type": "order.paid", "id": f"acme-{number}", "data": {"number": number}}
        await self.write(self._provider.names.events, b"acme", orjson.dumps(event))

    async def write(self, topic: str, key: bytes, value: bytes | None, **more: Any) -> None:
        await self._client.send_and_wait(topic, value, key=key, partition=HOME, **more)


@asynccontextmanager
async def transactional(provider: Provider, **options: Any) -> AsyncIterator[Transactional]:
    client = AIOKafkaProducer(
        bootstrap_servers=provider.settings.kafka_bootstrap,
        transactional_id=f"of-a-test-{uuid4().hex}",
        **options,
    )
    await client.start()
    try:
        yield Transactional(provider, client)
    finally:
        await client.stop()


async def measured(port: int, name: str) -> float | None:
    """Return a worker's gauge for the home partition, or a counter; None = not there yet."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as response,
        ):
            text = await response.text()
    except aiohttp.ClientError:
        return None
    found = re.search(rf'^{name}(?:{{partition="{HOME}"}})? (\S+)$', text, re.MULTILINE)
    return None if found is None else float(found[1])


async def reaches(port: int, name: str, wanted: float) -> None:
    async with asyncio.timeout(60):
        while await measured(port, name) != wanted:
            pass


async def committed_and_end(provider: Provider) -> tuple[int, int]:
    """Return the committed offset of the home partition, and its end."""
    tp = TopicPartition(provider.names.events, HOME)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=provider.settings.kafka_bootstrap,
        group_id=provider.settings.cluster.app_id,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        return await consumer.committed(tp) or 0, end
    finally:
        await consumer.stop()


async def commits_to_the_end(provider: Provider) -> None:
    async with asyncio.timeout(60):
        while len(set(await committed_and_end(provider))) > 1:
            pass


def metrics_of(fast_path: str = "true") -> tuple[int, dict[str, str]]:
    port = closed_port()
    return port, {"HOOKSEAL_METRICS_PORT": str(port), "HOOKSEAL_FAST_PATH": fast_path}


@FAST_OR_NOT
async def test_aborted_events_are_not_delivered_and_leave_no_lag(
    provider: Provider, fast_path: str
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    port, env = metrics_of(fast_path)
    worker = await provider.worker(**env)
    await worker.ready()

    async with (
        transactional(provider) as one,
        transactional(provider, compression_type="gzip") as other,
    ):
        for round_ in range(5):
            first = 10 * round_
            await one.begin()
            await other.begin()
            await one.send(first + 1)
            await other.send(first + 2)
            await provider.publish("acme", first + 3)
            await one.send(first + 4)
            await other.abort()
            await one.commit()
            await provider.publish("acme", first + 5)
        await one.begin()
        await one.send(1000)
        await one.abort()

    expected = [f"acme-{10 * n + m}" for n in range(5) for m in (1, 3, 4, 5)]
    await receiver.until(lambda: len(receiver.accepted()) >= len(expected))
    await commits_to_the_end(provider)
    await reaches(port, "hookseal_lag", 0)

    assert receiver.accepted() == expected
    assert await measured(port, "hookseal_uncommitted_records") == 0
    # Nothing was read twice to prove that a gap is in the log.
    assert await measured(port, "hookseal_gaps_total") == 0


@FAST_OR_NOT
async def test_a_hanging_transaction_delays_its_partition_until_it_expires(
    provider: Provider, fast_path: str
) -> None:
    receiver = await provider.receiver()
    neighbour = next(name for n in range(99) if partition_of(name := f"n{n}", PARTITIONS) != HOME)
    for customer in ("acme", neighbour):
        await provider.tenant(customer, receiver.url(customer))
    port, env = metrics_of(fast_path)
    await provider.worker(**env)
    await provider.publish("acme", 1)
    await receiver.until(lambda: receiver.accepted() == ["acme-1"])

    async with transactional(provider, transaction_timeout_ms=EXPIRES_MS) as hanging:
        await hanging.begin()
        await hanging.send(2)
        await provider.publish("acme", 3)
        await provider.publish("acme", 4)
        await reaches(port, "hookseal_uncommitted_records", 3)
        assert await measured(port, "hookseal_lag") == 0
        await provider.publish(neighbour, 1)
        await receiver.until(lambda: f"{neighbour}-1" in receiver.accepted())
        assert receiver.accepted("acme") == ["acme-1"]
        await receiver.until(lambda: len(receiver.accepted("acme")) > 1)
        await receiver.until(lambda: len(receiver.accepted("acme")) > 2)

    assert receiver.accepted("acme") == ["acme-1", "acme-3", "acme-4"]
    await commits_to_the_end(provider)
    await reaches(port, "hookseal_uncommitted_records", 0)


async def test_workers_and_apis_start_beside_a_hanging_transaction(provider: Provider) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    async with transactional(provider) as hanging:
        await hanging.begin()
        for topic in ("commands", "dead_letters", "replays", "deliveries"):
            await hanging.write(getattr(provider.names, topic), b"other", b"{}")
        await hanging.send(1)

        await (await provider.worker()).ready()
        api = await provider.api()

        assert (await api.ask("GET", "/readyz"))[0] == 200
        await api.eventually("GET", "/v1/tenants/acme")
        assert await list_all(api, "/v1/tenants/acme/dead-letters") == []
        assert receiver.accepted() == []
        await hanging.commit()
        await receiver.until(lambda: receiver.accepted() == ["acme-1"])


async def test_a_worker_does_not_start_without_the_tenants_behind_a_hanging_transaction(
    provider: Provider,
) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))
    first = await provider.worker()
    async with transactional(provider) as hanging:
        await first.ready()
        await hanging.begin()
        await hanging.write(provider.names.tenants_changelog, b"other", b"{}")
        await provider.tenant("acme", receiver.url("acme"), receiver.url("acme", "ep_2"))
        await first.until(lambda: len(first.events("command.applied")) >= 7)
        first.terminate()
        await first.ended()
        await provider.publish("acme", 1)

        worker = await provider.worker("again")
        await provider.api()
        assert worker.events("table.recovered") == []
        assert receiver.accepted() == []
        await hanging.abort()
        await receiver.until(lambda: receiver.accepted() == ["acme-1"] * 2)


async def test_aborted_records_of_our_topics_do_not_count(provider: Provider) -> None:
    receiver = await provider.receiver()
    await provider.tenant("acme", receiver.url("acme"))

    async def refuse(*_: str) -> int:
        return 400

    receiver.answer = refuse
    worker = await provider.worker(HOOKSEAL_RETRY_DELAYS_S="0.01")
    await provider.publish("acme", 1)
    await provider.dead_letters_reach(1)
    (letter,) = await provider.dead_letters()
    worker.terminate()
    await worker.ended()

    async with transactional(provider) as aborting:
        await aborting.begin()
        # A tenant that is deleted, a second dead letter, and the delivery of the first.
        await aborting.write(provider.names.tenants_changelog, b"acme", None)
        await aborting.write(
            provider.names.dead_letters,
            b"acme",
            letter.value,
            headers=[(name, value or b"") for name, value in letter.headers],
        )
        drained = encode(DrainedEntry([(letter.offset, letter.timestamp_ms)]))
        await aborting.write(provider.names.replays, b"", drained)
        await aborting.abort()
    await provider.worker("again", HOOKSEAL_RETRY_DELAYS_S="0.01")
    api = await provider.api()
    await provider.publish("acme", 2)
    await provider.dead_letters_reach(2)

    path = "/v1/tenants/acme/dead-letters"
    async with asyncio.timeout(60):
        while len(letters := await list_all(api, path)) < 2:
            pass
    assert sorted(one["event_id"] for one in letters) == ["acme-1", "acme-2"]
    planned = await api.do("POST", f"{path}/replay", {"dry_run": True})
    assert (planned["replayed"], planned["remaining"]) == (2, 0)
