"""Tenant commands on their topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.record import Position
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames
    from hookseal.tenants.codec import TenantCodec


class KafkaCommands:
    """`Commands` on the topic `tenant-commands`."""

    def __init__(self, producer: Producer, names: TopicNames, codec: TenantCodec) -> None:
        self._producer = producer
        self._topic = names.commands
        self._codec = codec

    async def submit(self, command: Command) -> None:
        """Write the command; retry temporary errors until it is written.

        Raises:
            RecordRefusedError: `record_refused`.
        """
        await self._producer.publish_surely(
            self._topic,
            key=command.customer_id.encode(),
            value=self._codec.command(command),
        )

    async def submit_once(self, command: Command) -> Position:
        """Write the command; a failure is raised and not retried.

        Raises:
            BrokerError: `publish_failed`, `broker_unreachable`, `record_refused`.
        """
        return await self._producer.publish(
            self._topic,
            key=command.customer_id.encode(),
            value=self._codec.command(command),
        )
