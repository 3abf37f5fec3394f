"""Drops what is older than it is kept for, as Kafka does by its topics' retention."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from hookseal.local.beside import Beside

if TYPE_CHECKING:
    from hookseal.delivery.ports import Clock
    from hookseal.local.store import Log, Store

__all__ = ["KEPT_DAYS", "Tidy"]

_log = logging.getLogger(__name__)

# As `hookseal topics create` has it; the ledger longer than the letters it is about.
KEPT_DAYS: dict[Log, int] = {"dead-letters": 90, "replays": 120, "deliveries": 7}
_EVERY_S = 60.0
_DAY_S = 24 * 3600


class Tidy(Beside):
    """Runs beside the deliveries."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Prepare; the store is started by its owner."""
        self._store = store
        self._clock = clock

    async def once(self) -> None:
        """Drop what is too old by now.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        now = self._clock.now()
        for log, days in KEPT_DAYS.items():
            for partition in range(self._store.partitions):
                before_ms = round((now - days * _DAY_S) * 1000)
                await self._store.drop_older(log, partition, before_ms)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(_EVERY_S)
            try:
                await self.once()
            except BrokerError as error:
                _log.warning("Nothing was tidied up: %s", error.code)
