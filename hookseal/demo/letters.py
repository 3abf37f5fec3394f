"""Reads `dead-letters` into the ledgers while the demo runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from hookseal.demo.ledger import Ledger, Letter
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import consume, topic_partitions
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiokafka import AIOKafkaConsumer

    from hookseal.kafka.cluster import Cluster

_POLL_MS = 200
_QUIET_MS = 700


@asynccontextmanager
async def follow_letters(
    cluster: Cluster, ledgers: dict[str, Ledger]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Add dead letters to the ledgers, by customer id.

    Yields a function that reads the rest, after the last worker stopped. It reads until nothing
    comes any more, not up to the end offset: the embedded broker reports one that lags behind its
    last batch.
    """
    partitions = await topic_partitions(cluster, TopicNames(cluster.topic_prefix).dead_letters)
    async with consume(cluster, from_earliest=True) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)

        async def follow() -> None:
            while True:
                await _read(consumer, _POLL_MS, ledgers)

        async def read_rest() -> None:
            following.cancel()
            await asyncio.wait((following,))
            while await _read(consumer, _QUIET_MS, ledgers):
                pass

        following = asyncio.create_task(follow())
        try:
            yield read_rest
        finally:
            following.cancel()
            await asyncio.wait((following,))


async def _read(consumer: AIOKafkaConsumer, timeout_ms: int, ledgers: dict[str, Ledger]) -> int:
    batches = await consumer.getmany(timeout_ms=timeout_ms)
    records = [record for batch in batches.values() for record in batch]
    for record in records:
        # A letter of an unknown customer gets a ledger too, where it counts as a fault.
        customer_id = (record.key or b"").decode("utf-8", "replace")
        added = added_headers(tuple(record.headers))
        ledgers.setdefault(customer_id, Ledger(customer_id)).letters.append(
            Letter(
                event_id=added.get("event-id", ""),
                reason=added.get("reason", ""),
                attempts=int(added.get("attempts", "0")),
                value=record.value or b"",
                id=f"{record.partition}/{record.offset}",
                headers=added,
            )
        )
    return len(records)
