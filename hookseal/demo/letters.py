"""Reads `dead-letters` while the demo runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from hookseal.demo.ledger import Ledger, Letter
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import connect, topic_partitions
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from hookseal.kafka.cluster import Cluster

_POLL_MS = 200
_QUIET_MS = 700


class LetterConsumer:
    """Adds dead letters to the ledgers, by customer id; an asynchronous context manager.

    It does not read up to the end offset: the embedded broker reports one that lags behind its
    last batch, and letters after it would be missed.
    """

    def __init__(self, cluster: Cluster, ledgers: dict[str, Ledger]) -> None:
        self._cluster = cluster
        self._ledgers = ledgers

    async def __aenter__(self) -> Self:
        topic = TopicNames(self._cluster.topic_prefix).dead_letters
        partitions = await topic_partitions(self._cluster, topic)
        self._consumer = await connect(self._cluster, from_earliest=True)
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_following()
        await self._consumer.stop()

    async def read_rest(self) -> None:
        """Read what is left, after the last worker stopped."""
        await self._stop_following()
        while await self._read(_QUIET_MS):
            pass

    async def _stop_following(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _follow(self) -> None:
        while True:
            await self._read(_POLL_MS)

    async def _read(self, timeout_ms: int) -> int:
        batches = await self._consumer.getmany(timeout_ms=timeout_ms)
        records = [record for batch in batches.values() for record in batch]
        for record in records:
            # A letter of an unknown customer gets a ledger too, where it counts as a fault.
            customer_id = (record.key or b"").decode("utf-8", "replace")
            added = added_headers(tuple(record.headers))
            self._ledgers.setdefault(customer_id, Ledger(customer_id)).letters.append(
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
