"""The demo's look at `dead-letters`: from the first record on, for as long as it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from hookseal.cli.demo.ledger import Ledger, Letter
from hookseal.domain.dead_letter import added_headers
from hookseal.kafka.consumer import connect, topic_partitions
from hookseal.kafka.topics import TopicNames

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from hookseal.kafka.cluster import Cluster

__all__ = ["LettersFollower"]

_QUIET_MS = 700


class LettersFollower:
    """Enters dead letters into the books; an asynchronous context manager.

    It does not read "to the end": the embedded broker's idea of the end lags its last
    batch, and a letter beyond it would be missed.
    """

    def __init__(self, cluster: Cluster, ledgers: dict[str, Ledger]) -> None:
        """Prepare to enter letters into these books, by customer id."""
        self._cluster = cluster
        self._ledgers = ledgers

    async def __aenter__(self) -> Self:
        topic = TopicNames(self._cluster.topic_prefix).dead_letters
        places = await topic_partitions(self._cluster, topic)
        self._consumer = await connect(self._cluster, from_earliest=True)
        self._consumer.assign(places)
        await self._consumer.seek_to_beginning(*places)
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        await self._consumer.stop()

    async def rest(self) -> None:
        """Read what is left, once nobody writes any more."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        while await self._read(_QUIET_MS):
            pass

    async def _follow(self) -> None:
        while True:
            await self._read(200)

    async def _read(self, timeout_ms: int) -> int:
        batches = await self._consumer.getmany(timeout_ms=timeout_ms)
        records = [record for batch in batches.values() for record in batch]
        for record in records:
            self._enter(record)
        return len(records)

    def _enter(self, record: ConsumerRecord) -> None:
        # A letter of somebody unknown gets a book as well, in which it speaks against us.
        customer_id = (record.key or b"").decode("utf-8", "replace")
        ledger = self._ledgers.setdefault(customer_id, Ledger(customer_id))
        added = added_headers(tuple(record.headers))
        ledger.letters.append(
            Letter(
                event_id=added.get("event-id", ""),
                reason=added.get("reason", ""),
                attempts=int(added.get("attempts", "0")),
                value=record.value or b"",
                place=f"{record.partition}/{record.offset}",
                headers=added,
            )
        )
