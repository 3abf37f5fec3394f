"""The engine's ports, on Kafka: dead letters, commands, re-routing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.event import EVENT_ID_HEADER, REROUTED_HEADER
from hookseal.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.delivery.ports import Observer
    from hookseal.domain.command import Command
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.event import Event
    from hookseal.domain.notice import Notice
    from hookseal.kafka.producer import Position, Producer
    from hookseal.kafka.registry import Registry
    from hookseal.kafka.topics import TopicNames

__all__ = ["KafkaCommands", "KafkaDeadLetters", "KafkaNotices", "KafkaRouter"]

_HELD_AFTER_S = 5.0


class KafkaDeadLetters:
    """`DeadLetters` on the topic `dead-letters`."""

    def __init__(
        self,
        producer: Producer,
        names: TopicNames,
        observer: Observer,
        *,
        held_after_s: float = _HELD_AFTER_S,
    ) -> None:
        """Prepare.

        Args:
            producer: Started by its owner.
            names: The topics' names.
            observer: Told of what is written, and of what cannot be.
            held_after_s: Seconds without an acknowledgement that count as a failure.
        """
        self._producer = producer
        self._topic = names.dead_letters
        self._observer = observer
        self._held_after_s = held_after_s

    async def bury(self, letter: DeadLetter) -> None:
        """Write the letter beside its event: same partition number, bytes untouched.

        Tries again for as long as the topic takes no writes: the partition waits, and
        nothing is dropped.
        """
        hold = _Hold(self._observer, self._held_after_s)
        try:
            await self._producer.publish_surely(
                self._topic,
                on_failure=hold.failed,
                key=letter.key,
                value=letter.record.value,
                headers=letter.headers(),
                partition=letter.record.partition,
            )
        finally:
            hold.end()
        self._observer.buried(letter)


class _Hold:
    """Tells of a letter that waits to be written.

    The client tries by itself for as long as it takes, and says nothing: hence a timer.
    """

    def __init__(self, observer: Observer, after_s: float) -> None:
        self._observer = observer
        self._after_s = after_s
        self._failures = 0
        self._timer = asyncio.get_running_loop().call_later(after_s, self._late)

    def failed(self) -> None:
        """It was refused, or is late."""
        self._failures += 1
        self._observer.bury_failed(self._failures)

    def end(self) -> None:
        """It is written, or its lane stopped."""
        self._timer.cancel()
        if self._failures:
            self._observer.bury_ended()

    def _late(self) -> None:
        self.failed()
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._late)


class KafkaCommands:
    """`Commands` on the topic `tenant-commands`."""

    def __init__(self, producer: Producer, names: TopicNames, registry: Registry) -> None:
        self._producer = producer
        self._topic = names.commands
        self._registry = registry

    async def submit(self, command: Command) -> None:
        """Write the command, trying again for as long as it takes."""
        await self._producer.publish_surely(
            self._topic,
            key=command.customer_id.encode(),
            value=self._registry.command(command),
        )

    async def submit_once(self, command: Command) -> Position:
        """Write the command, or say that it could not be written.

        Raises:
            BrokerError: `publish_failed`, `broker_unreachable`.
        """
        return await self._producer.publish(
            self._topic,
            key=command.customer_id.encode(),
            value=self._registry.command(command),
        )


class KafkaNotices:
    """`Notices` on the topic `events`, behind what the tenant has there already."""

    def __init__(self, producer: Producer, names: TopicNames) -> None:
        self._producer = producer
        self._topic = names.events

    async def publish(self, notice: Notice) -> None:
        """Write the notice, trying again for as long as it takes."""
        await self._producer.publish_surely(
            self._topic,
            key=notice.customer_id.encode(),
            value=notice.value,
            headers=notice.headers,
        )


class KafkaRouter:
    """`Router` over a topic's partitions."""

    def __init__(
        self, producer: Producer, names: TopicNames, partitions: Callable[[], int]
    ) -> None:
        self._producer = producer
        self._topic = names.events
        self._partitions = partitions

    def partition_of(self, customer_id: str) -> int:
        """Return the partition, counted from 0."""
        return partition_of(customer_id, self._partitions())

    async def reroute(self, event: Event, partition: int) -> None:
        """Produce the event's record once more, on its right partition."""
        record = event.record
        await self._producer.publish_surely(
            self._topic,
            key=record.key,
            value=record.value,
            headers=(
                *record.headers,
                # An id derived from the place where it stood must survive the move.
                (EVENT_ID_HEADER, event.id.encode()),
                (REROUTED_HEADER, f"{record.partition}/{record.offset}".encode()),
            ),
            partition=partition,
            timestamp_ms=record.timestamp_ms,
        )
