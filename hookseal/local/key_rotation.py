"""Rewrites tenant documents under the current master key, so that the old key can go."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from hookseal.domain.command import RewriteTenant
from hookseal.local.background import BackgroundTask
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from hookseal.delivery.ports import Clock
    from hookseal.local.tenants import LocalCommands, LocalTenants

_log = logger("hookseal.local")

_EVERY_S = 2.0


class KeyRotationJob(BackgroundTask):
    """Runs in every process; each skips the documents that another one rewrote.

    The owner starts model and commands.
    """

    def __init__(self, model: LocalTenants, commands: LocalCommands, clock: Clock) -> None:
        self._model = model
        self._commands = commands
        self._clock = clock

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(_EVERY_S)
            outdated = sorted(self._model.outdated)
            for customer_id in outdated:
                command_id = f"cmd_{uuid4().hex}"
                await self._commands.submit(
                    RewriteTenant(customer_id=customer_id, id=command_id, at=self._clock.now())
                )
            if outdated:
                _log.info("tenants.reencrypted", tenants=len(outdated))
