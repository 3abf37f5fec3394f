"""The demo itself, from the first topic to the last letter."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal.cli.api_session import client
from hookseal.cli.demo.checks import Claim, judge
from hookseal.cli.demo.cluster import remove_topics
from hookseal.cli.demo.environment import demo_environment
from hookseal.cli.demo.letters import LettersFollower
from hookseal.cli.demo.pipeline import Pipeline
from hookseal.cli.demo.plan import PARTITIONS, SCENARIO, planned_events
from hookseal.cli.demo.receivers import TenantSide
from hookseal.cli.demo.registration import make_keys, register
from hookseal.cli.demo.watch import Watch, stage
from hookseal.cli.demo.workers import Worker, share_all
from hookseal.config import load
from hookseal.domain.new_event import NewEventReader
from hookseal.errors import HooksealError
from hookseal.kafka import topics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hookseal.cli.demo.ledger import Ledger
    from hookseal.config import Settings
    from hookseal.kafka.broker import Broker

__all__ = ["DemoResult", "run_demo"]

_LOOK_EVERY_S = 0.1
_READY_S = 90.0
_STALLED_S = 30.0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What happened.

    Attributes:
        broker: Its kind.
        seconds: From the start of the broker to the end of the workers.
        tenants: With their books.
        workers: With the partitions they held last.
        claims: What the demo says of itself.
    """

    broker: str
    seconds: float
    tenants: Sequence[TenantSide]
    workers: Sequence[Worker]
    claims: Sequence[Claim]


async def run_demo(
    broker: Broker, folder: Path, *, events: int, workers: int, seed: int, began_s: float
) -> DemoResult:
    """Run the demo.

    Args:
        broker: Where.
        folder: For logs and data of the workers.
        events: How many to publish.
        workers: How many processes share the partitions.
        seed: For the events, and for which requests fail.
        began_s: Monotonic seconds from which times are counted.

    Raises:
        HooksealError: Something kept it from coming to its end.
    """
    async with AsyncExitStack() as stack:
        tenants = [
            await stack.enter_async_context(TenantSide(role, seed=seed, began_s=began_s))
            for role in SCENARIO
        ]
        env = demo_environment(os.environ, broker, (tenant.port for tenant in tenants))
        # This process is the demo's own: what it reads and what its workers read is the same.
        os.environ.clear()
        os.environ.update(env)
        settings = load()
        await topics.create(
            settings.cluster, partitions=PARTITIONS, replication=settings.replication
        )
        if broker.kind == "bootstrap":
            # Somebody's own cluster: leave nothing behind.
            stack.push_async_callback(remove_topics, settings.cluster)
        stage(began_s, f"{broker.kind} broker at {broker.bootstrap}, {PARTITIONS} partitions")
        hands = [
            await stack.enter_async_context(
                Worker(f"worker {number}", env, folder / f"worker-{number}")
            )
            for number in range(1, workers + 1)
        ]
        keys = await make_keys(tenants)
        await _all_ready(hands)
        shares = "; ".join(
            f"{worker.name} has {', '.join(map(str, worker.log.partitions or ()))}"
            for worker in hands
        )
        stage(began_s, f"workers share the partitions: {shares}")
        async with client(settings, timeout_s=_READY_S) as api:
            await asyncio.gather(
                *(register(api, tenant, key) for tenant, key in zip(tenants, keys, strict=True))
            )
        stage(began_s, f"{len(tenants)} tenants, each with a key and an endpoint of its own")
        ledgers = {tenant.role.customer_id: tenant.ledger for tenant in tenants}
        letters = await stack.enter_async_context(LettersFollower(settings.cluster, ledgers))
        with Watch(tenants, hands, began_s=began_s) as watch:
            publishing = asyncio.create_task(_publish(settings, ledgers, events, seed))
            try:
                await _all_settled(ledgers, hands, publishing, watch)
                if publishing.done():
                    publishing.result()
            finally:
                publishing.cancel()
                await asyncio.wait((publishing,))
        stage(began_s, "everything is decided; stopping the workers")
        await asyncio.gather(*(worker.stop() for worker in hands))
        await letters.rest()
        return DemoResult(
            broker.kind, time.monotonic() - began_s, tenants, hands, judge(ledgers.values())
        )


async def _all_ready(workers: Sequence[Worker]) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            while not share_all([worker.log.partitions for worker in workers], PARTITIONS):
                await asyncio.sleep(_LOOK_EVERY_S)
                for worker in workers:
                    worker.look()
    except TimeoutError:
        raise HooksealError(
            "workers_not_ready",
            f"The workers did not come to share the partitions within {_READY_S:.0f} s.",
        ) from None


async def _publish(settings: Settings, ledgers: dict[str, Ledger], count: int, seed: int) -> None:
    events = planned_events(count, seed)

    def acknowledged(number: int, _: object) -> None:
        ledgers[events[number].customer_id].acknowledged += 1

    reader = NewEventReader(settings.event_max_bytes)
    names = topics.TopicNames(settings.topic_prefix)
    pipeline = Pipeline(settings.cluster, names.events, on_acknowledged=acknowledged)
    async with pipeline:
        for number, event in enumerate(events):
            draft = reader.draft(
                customer_id=event.customer_id,
                event_type=event.event_type,
                event_id=event.event_id,
                data=event.data,
            )
            ledgers[event.customer_id].published[event.event_id] = draft.value
            await pipeline.put(number, key=draft.key, value=draft.value, headers=draft.headers)
        await pipeline.drain()


async def _all_settled(
    ledgers: dict[str, Ledger],
    workers: Sequence[Worker],
    publishing: asyncio.Task[None],
    watch: Watch,
) -> None:
    """Return once every event is decided, or once nothing has moved for half a minute.

    In the latter case the verdict says what is missing.
    """
    moved_s, before = time.monotonic(), -1
    while not (publishing.done() and all(ledger.is_settled for ledger in ledgers.values())):
        await asyncio.sleep(_LOOK_EVERY_S)
        for worker in workers:
            worker.look()
        watch.show()
        now = sum(
            ledger.acknowledged + len(ledger.arrivals) + len(ledger.letters)
            for ledger in ledgers.values()
        )
        if now != before:
            moved_s, before = time.monotonic(), now
        elif time.monotonic() - moved_s > _STALLED_S:
            return
