"""Background jobs of `hookseal local`: retention, and re-encryption after a key rotation."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import uuid4

from hookseal.domain.command import RewriteTenant
from hookseal.errors import BrokerError
from hookseal.kafka.topics import TopicNames
from hookseal.local.store import LOGS
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from hookseal.delivery.ports import Clock
    from hookseal.local.store import Store
    from hookseal.local.tenants import LocalCommands, LocalTenants

_log = logger("hookseal.local")

# The retention of `hookseal topics create`: a log has the name of its topic.
_RETENTION_MS = {log: int(TopicNames().configs()[log]["retention.ms"]) for log in LOGS}
_RETENTION_EVERY_S = 60.0
_KEY_ROTATION_EVERY_S = 2.0


async def cancel(task: asyncio.Task[None] | None) -> None:
    """Cancel a background task and wait for its end."""
    if task is not None:
        task.cancel()
        await asyncio.wait((task,))


async def keep_deleting_expired(store: Store, clock: Clock) -> None:
    """Delete records after their retention time, as Kafka does for its topics."""
    while True:
        await clock.sleep(_RETENTION_EVERY_S)
        now_ms = round(clock.now() * 1000)
        try:
            for log, retention_ms in _RETENTION_MS.items():
                for partition in range(store.partitions):
                    await store.drop_older(log, partition, now_ms - retention_ms)
        except BrokerError as error:
            logging.getLogger(__name__).warning("Expired records were not deleted: %s", error.code)


async def keep_rotating_keys(model: LocalTenants, commands: LocalCommands, clock: Clock) -> None:
    """Rewrite tenant documents under the current master key, so that the old key can be removed.

    Every process does this, and skips the documents that another process rewrote.
    """
    while True:
        await clock.sleep(_KEY_ROTATION_EVERY_S)
        outdated = sorted(model.outdated)
        for customer_id in outdated:
            command_id = f"cmd_{uuid4().hex}"
            await commands.submit(
                RewriteTenant(customer_id=customer_id, id=command_id, at=clock.now())
            )
        if outdated:
            _log.info("tenants.reencrypted", tenants=len(outdated))
