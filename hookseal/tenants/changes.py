"""Submits a tenant command and waits for its result."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.domain.command import CreateTenant, command_result
from hookseal.domain.conflicts import conflict

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.tenant import Tenant
    from hookseal.tenants.commands import KafkaCommands
    from hookseal.tenants.model import TenantsModel


class KafkaChanges:
    """Writes commands and waits until a worker applied them and the result is read back."""

    def __init__(self, model: TenantsModel, commands: KafkaCommands, *, timeout_s: float) -> None:
        """Wait `timeout_s` seconds for a worker. The model follows the commands' partitions."""
        self._model = model
        self._commands = commands
        self._timeout_s = timeout_s

    async def submit(self, command: Command) -> Tenant | None:
        """Submit the command; return the tenant after it, None if it is deleted.

        A command whose id the tenant remembers is not written again.

        Raises:
            BrokerError: `publish_failed`, `broker_unreachable`, `no_worker_answered`. But
                for the second the change may still come.
            ConflictError: `unknown_tenant`, `idempotency_key_reused`, or the code with
                which a worker refused it.
        """
        before = self._model.get(command.customer_id)
        if before is not None and before.recent_of(command.id) is not None:
            return command_result(before, command)
        if before is None and not isinstance(command, CreateTenant):
            raise conflict("unknown_tenant", field=command.customer_id)
        # Waited for before it is written: the answer may be there before the acknowledgement.
        answer = asyncio.ensure_future(self._answer(command, existed=before is not None))
        try:
            await self._commands.submit_once(command)
            return command_result(await answer, command)
        finally:
            answer.cancel()

    async def _answer(self, command: Command, *, existed: bool) -> Tenant | None:
        def answers(tenant: Tenant | None) -> bool:
            if tenant is None:
                return existed
            return tenant.recent_of(command.id) is not None

        return await self._model.changed(command.customer_id, answers, timeout_s=self._timeout_s)
