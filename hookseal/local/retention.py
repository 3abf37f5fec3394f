"""Deletes records after their retention time, as Kafka does for its topics."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from hookseal.kafka.topics import TopicNames
from hookseal.local.background import BackgroundTask
from hookseal.local.store import LOGS

if TYPE_CHECKING:
    from hookseal.delivery.ports import Clock
    from hookseal.local.store import Store

_log = logging.getLogger(__name__)

# The retention of `hookseal topics create`: a log has the name of its topic.
_KEPT_MS = {log: int(TopicNames().configs()[log]["retention.ms"]) for log in LOGS}
_EVERY_S = 60.0


class RetentionJob(BackgroundTask):
    """Deletes expired records periodically.

    The owner starts the store.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def once(self) -> None:
        """Delete records that are too old now.

        Raises:
            BrokerError: `redis_unreachable`.
        """
        now_ms = round(self._clock.now() * 1000)
        for log, kept_ms in _KEPT_MS.items():
            for partition in range(self._store.partitions):
                await self._store.drop_older(log, partition, now_ms - kept_ms)

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(_EVERY_S)
            try:
                await self.once()
            except BrokerError as error:
                _log.warning("Expired records were not deleted: %s", error.code)
