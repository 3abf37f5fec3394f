"""Writes tenant commands to Kafka, and waits for their results."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.command import CreateTenant
from hookseal.domain.command_result import command_result
from hookseal.domain.conflicts import conflict

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.record import Position
    from hookseal.domain.tenant import Tenant
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames
    from hookseal.tenants.codec import TenantCodec
    from hookseal.tenants.model import TenantsModel


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
        key, value = command.customer_id.encode(), self._codec.command(command)
        await self._producer.publish_surely(self._topic, key=key, value=value)

    async def submit_once(self, command: Command) -> Position:
        """Write the command; a failure is raised and not retried.

        Raises:
            BrokerError: `publish_failed`, `broker_unreachable`, `record_refused`.
        """
        key, value = command.customer_id.encode(), self._codec.command(command)
        return await self._producer.publish(self._topic, key=key, value=value)


class KafkaChanges:
    """`Changes` over Kafka: a worker applies each command, and the model reads the result."""

    def __init__(self, model: TenantsModel, commands: KafkaCommands, *, timeout_s: float) -> None:
        """Wait `timeout_s` seconds for a worker. The model follows the commands' partitions."""
        self._model = model
        self._commands = commands
        self._timeout_s = timeout_s

    async def submit(self, command: Command) -> Tenant | None:
        """Submit the command; return the tenant after it, None if it is deleted.

        A command whose id the tenant remembers is not written again.

        Raises:
            BrokerError: `broker_unreachable`; `publish_failed`, `no_worker_answered`: a worker may
                still apply the command.
            ConflictError: `unknown_tenant`, `idempotency_key_reused`, or the code with
                which a worker refused the command.
        """
        before = self._model.get(command.customer_id)
        if before is not None and before.recent_of(command.id) is not None:
            return command_result(before, command)
        if before is None and not isinstance(command, CreateTenant):
            raise conflict("unknown_tenant", field=command.customer_id)

        def is_applied(tenant: Tenant | None) -> bool:
            if tenant is None:
                return before is not None
            return tenant.recent_of(command.id) is not None

        # Wait before the write: the result may arrive before the acknowledgement.
        result = asyncio.ensure_future(
            self._model.changed(command.customer_id, is_applied, timeout_s=self._timeout_s)
        )
        try:
            await self._commands.submit_once(command)
            return command_result(await result, command)
        finally:
            result.cancel()
