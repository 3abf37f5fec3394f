"""Runs the demo, from the first topic to the last dead letter."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from hookseal.config import load
from hookseal.demo.checks import check_claims
from hookseal.demo.letters import follow_letters
from hookseal.demo.plan import PARTITIONS, SCENARIO, demo_environment, planned_events
from hookseal.demo.tenants import DemoTenant
from hookseal.demo.watch import Watch
from hookseal.demo.workers import Worker, share_all
from hookseal.domain.new_event import NewEventReader
from hookseal.errors import BrokerError, HooksealError
from hookseal.kafka import topics
from hookseal.kafka.producer import connect
from hookseal.seal.keys import generate_private_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from hookseal.api.client import ApiClient
    from hookseal.config import Settings
    from hookseal.demo.ledger import Ledger
    from hookseal.kafka.broker import Broker
    from hookseal.kafka.cluster import Cluster

_POLL_S = 0.1
_READY_S = 90.0
_STALLED_S = 30.0


async def run_demo(
    broker: Broker,
    open_api: Callable[[Settings], AbstractAsyncContextManager[ApiClient]],
    folder: Path,
    *,
    events: int,
    workers: int,
    seed: int,
    began_s: float,
) -> dict[str, Any]:
    """Run the demo with `events` events and `workers` worker processes; return the result as JSON.

    `folder` gets the logs and data of the workers. `seed` decides the events, and which requests
    fail. `began_s` is the start of the demo in monotonic seconds.

    Raises:
        HooksealError: `workers_not_ready`, `worker_ended`, `publish_failed`.
    """
    crew: list[Worker] = []
    async with AsyncExitStack() as stack:
        tenants = [
            await stack.enter_async_context(DemoTenant(one, seed=seed, began_s=began_s))
            for one in SCENARIO
        ]
        env = demo_environment(os.environ, broker, (tenant.port for tenant in tenants))
        # This process and its workers read the same settings.
        os.environ.clear()
        os.environ.update(env)
        settings = load()
        cluster = settings.cluster
        await topics.create(cluster, partitions=PARTITIONS, replication=settings.replication)
        if broker.kind == "bootstrap":
            # The operator's own cluster: leave no topics behind.
            stack.push_async_callback(_delete_topics, cluster)
        watch = Watch(tenants, crew, began_s=began_s)
        watch.print(f"{broker.kind} broker at {broker.bootstrap}, {PARTITIONS} partitions")
        for number in range(1, workers + 1):
            worker = Worker(f"worker {number}", env, folder / f"worker-{number}")
            crew.append(await stack.enter_async_context(worker))
        making = (asyncio.to_thread(generate_private_key, one.alg) for one in SCENARIO)
        keys = await asyncio.gather(*making)
        await _wait_until_ready(crew)
        shares = "; ".join(
            f"{worker.name} has {', '.join(map(str, worker.log.partitions or ()))}"
            for worker in crew
        )
        watch.print(f"workers share the partitions: {shares}")
        async with open_api(settings) as api:
            pairs = zip(tenants, keys, strict=True)
            await asyncio.gather(*(tenant.register(api, *pair) for tenant, pair in pairs))
        watch.print(f"{len(tenants)} tenants, each with its own key and endpoint")
        ledgers = {tenant.customer_id: tenant.ledger for tenant in tenants}
        read_rest = await stack.enter_async_context(follow_letters(cluster, ledgers))
        with watch:
            publishing = asyncio.create_task(_publish(settings, ledgers, events, seed))
            try:
                await _wait_until_complete(ledgers, crew, publishing, watch)
                if publishing.done():
                    publishing.result()
            finally:
                publishing.cancel()
                await asyncio.wait((publishing,))
        watch.print("every event is accepted or dead-lettered; stopping the workers")
        await asyncio.gather(*(worker.stop() for worker in crew))
        await read_rest()
    return {
        "broker": broker.kind,
        "seconds": round(time.monotonic() - began_s, 1),
        "published": sum(len(ledger.published) for ledger in ledgers.values()),
        "tenants": [tenant.figures() for tenant in tenants],
        "workers": [
            {"name": one.name, "partitions": one.log.partitions, "attempts": one.log.attempts}
            for one in crew
        ],
        "sealed": next((one.request for one in tenants if one.request), None),
        "dead_letter": next((one.first_letter for one in tenants if one.ledger.letters), None),
        "claims": [
            {**claim._asdict(), "holds": not claim.faults}
            for claim in check_claims(ledgers.values())
        ],
    }


async def _delete_topics(cluster: Cluster) -> None:
    admin = AIOKafkaAdminClient(**cluster.arguments())
    await admin.start()
    try:
        await admin.delete_topics(list(topics.TopicNames(cluster.topic_prefix).configs()))
    finally:
        await admin.close()


async def _wait_until_ready(workers: Sequence[Worker]) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            while not share_all([worker.log.partitions for worker in workers], PARTITIONS):
                await asyncio.sleep(_POLL_S)
                for worker in workers:
                    worker.poll()
    except TimeoutError:
        raise HooksealError(
            "workers_not_ready",
            f"The workers did not share the {PARTITIONS} partitions within {_READY_S:.0f} s. Run "
            "the demo again with --logs FOLDER and read their logs.",
        ) from None


async def _publish(settings: Settings, ledgers: dict[str, Ledger], count: int, seed: int) -> None:
    """Publish the planned events in order."""
    reader = NewEventReader(settings.event_max_bytes)
    topic = topics.TopicNames(settings.topic_prefix).events
    failures: list[BaseException] = []

    def acknowledge(ledger: Ledger, sent: asyncio.Future[Any]) -> None:
        if sent.cancelled():
            return
        if (error := sent.exception()) is None:
            ledger.acknowledged += 1
        else:
            failures.append(error)

    producer = await connect(settings.cluster, request_timeout_ms=30_000)
    try:
        for event in planned_events(count, seed):
            ledger = ledgers[event.customer_id]
            draft = reader.draft(**event._asdict())
            ledger.published[event.event_id] = draft.value
            # Waits while the batch of the partition is full, so memory is bounded.
            headers = list(draft.headers)
            sent = await producer.send(topic, draft.value, draft.key, headers=headers)
            sent.add_done_callback(partial(acknowledge, ledger))
            if failures:
                break
        await producer.flush()
    except KafkaError as error:
        failures.append(error)
    finally:
        await producer.stop()
    if failures:
        name = type(failures[0]).__name__
        raise BrokerError("publish_failed", f"Writing to {topic} failed: {name}.")


async def _wait_until_complete(
    ledgers: dict[str, Ledger],
    workers: Sequence[Worker],
    publishing: asyncio.Task[None],
    watch: Watch,
) -> None:
    """Return once every event is accepted or dead-lettered, or after 30 s without progress."""
    moved_s, before = time.monotonic(), -1
    while not (publishing.done() and all(one.is_complete for one in ledgers.values())):
        await asyncio.sleep(_POLL_S)
        for worker in workers:
            worker.poll()
        watch.show()
        now = sum(
            ledger.acknowledged + len(ledger.arrivals) + len(ledger.letters)
            for ledger in ledgers.values()
        )
        if now != before:
            moved_s, before = time.monotonic(), now
        elif time.monotonic() - moved_s > _STALLED_S:
            return
