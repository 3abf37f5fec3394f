"""A topic of a test: make it, write to it, read all of it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

__all__ = ["Records"]

TIMEOUT_S = 60


class Records:
    """One topic with one partition."""

    def __init__(self, bootstrap: str, *, idempotent: bool = True) -> None:
        self.topic = f"t-{uuid4().hex}"
        self._bootstrap = bootstrap
        self._idempotent = idempotent
        self._place = TopicPartition(self.topic, 0)

    async def make(self, *, replication: int = 1) -> Records:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            answer = await admin.create_topics([NewTopic(self.topic, 1, replication)])
        finally:
            await admin.close()
        assert [code for _, code, *_ in answer.topic_errors] == [0], answer
        return self

    async def write(self, *values: str) -> None:
        """Write, each value acknowledged by all in-sync replicas."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=self._idempotent
        )
        async with asyncio.timeout(TIMEOUT_S):
            try:
                await producer.start()
                for value in values:
                    await producer.send_and_wait(self.topic, value.encode(), partition=0)
            finally:
                await producer.stop()

    async def read(self, count: int) -> list[str]:
        """Return the first `count` values there are."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        values: list[str] = []
        async with asyncio.timeout(TIMEOUT_S), consumer:
            consumer.assign([self._place])
            while len(values) < count:
                values.append((await consumer.getone()).value.decode())
        return values

    async def end(self) -> int:
        """Return the offset that the next record will get."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        async with asyncio.timeout(TIMEOUT_S), consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets([self._place])
        return ends[self._place]

    async def read_in_group(self, group: str, count: int) -> list[str]:
        """Return the next `count` values of a consumer group and commit them."""
        consumer = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self._bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=6000,
            heartbeat_interval_ms=1000,
        )
        async with asyncio.timeout(TIMEOUT_S), consumer:
            values = [(await consumer.getone()).value.decode() for _ in range(count)]
            await consumer.commit()
        return values
