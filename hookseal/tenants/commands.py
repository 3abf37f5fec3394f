"""Tenant commands: written to Kafka, applied by a worker, and awaited."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.domain.command import CreateTenant, RewriteTenant, apply, command_result
from hookseal.domain.conflicts import conflict
from hookseal.domain.new_event import key_changed
from hookseal.errors import InvalidCommandError

if TYPE_CHECKING:
    from asyncio import Future

    from hookseal.domain.command import Command
    from hookseal.domain.new_event import Notice
    from hookseal.domain.record import Position, Record
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
        """Write the command; retry all errors but `record_refused` until it is written."""
        key, value = command.customer_id.encode(), self._codec.command(command)
        await self._producer.publish_surely(self._topic, key=key, value=value)

    async def submit_once(self, command: Command) -> Position:
        """Write the command; every error is raised and not retried."""
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


class TenantsTable(Protocol):
    """The table as its writer sees it."""

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant as it is now, or None."""

    def put(self, customer_id: str, tenant: Tenant | None, command: Command) -> Future[str]:
        """Store the tenant, or delete it (None), at once.

        The future's result is `ok` once it is in the changelog, or the code of its refusal.
        """
        ...


class Notices(Protocol):
    """Publishes hookseal's own events to a tenant."""

    async def publish(self, notice: Notice) -> None:
        """Write the notice; return once it is written."""


class TenantsWatcher(Protocol):
    """Counts commands; must neither raise nor wait."""

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        """A command was applied (`ok`) or refused."""

    def command_invalid(self, record: Record, code: str) -> None:
        """A record is no command and was skipped."""


def applied(command: Command, before: Tenant | None, after: Tenant | None) -> tuple[str, bool]:
    """Return the code of a command, and whether the document is to be written."""
    if after is None:
        return ("unknown_tenant" if before is None else "ok"), before is not None
    is_change = after != before or isinstance(command, RewriteTenant)
    return after.result_of(command.id) or "ok", is_change


class ApplyCommand:
    """Applies records of `tenant-commands`; the only writer of the tenants table."""

    def __init__(
        self, *, codec: TenantCodec, table: TenantsTable, watcher: TenantsWatcher, notices: Notices
    ) -> None:
        self._codec = codec
        self._table = table
        self._watcher = watcher
        self._notices = notices

    def __call__(self, record: Record) -> Future[Any] | None:
        """Apply the command; return a future to await before its offset is committed."""
        try:
            command = self._codec.command_in(record.key, record.value)
        except InvalidCommandError as error:
            self._watcher.command_invalid(record, error.code)
            return None
        before = self._table.get(command.customer_id)
        after = apply(before, command)
        code, is_change = applied(command, before, after)
        self._watcher.command_applied(type(command).__name__, code, command.customer_id)
        written = self._table.put(command.customer_id, after, command) if is_change else None
        # Also for a repeated command: its worker may have stopped before it wrote the notice. A
        # repeated notice has the same id, so a receiver drops it.
        notice = key_changed(command, before, after)
        return written if notice is None else asyncio.ensure_future(self._notify(written, notice))

    async def _notify(self, written: Future[str] | None, notice: Notice) -> None:
        # Only after the changelog has the key: Kafka may refuse the write.
        if written is None or await written == "ok":
            await self._notices.publish(notice)
