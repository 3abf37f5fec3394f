"""Tell the application when the group last confirmed this worker.

Symptom: a process that was frozen goes on where it was until its next heartbeat is refused: 27
attempts on five partitions that belonged to another worker, where five were on the wire. aiokafka
tells nobody that a heartbeat was answered.
Patches: GroupCoordinator._send_req (aiokafka), on the started client.
Test: TestHeartbeats, test_a_worker_that_was_frozen_starts_nothing_on_what_it_lost.
Drop when: aiokafka has a callback for answered heartbeats.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Answers in which the coordinator counts us as a member: no error, or a rebalance that we are
# about to join.
_MEMBER = (0, 27)
_SHOWS_MEMBERSHIP = ("HeartbeatRequest", "SyncGroupRequest")


class HeartbeatsThread(driver.AIOKafkaConsumerThread):
    """A consumer thread that confirms the membership of its consumer with each answer."""

    async def on_start(self) -> None:
        """Start the client, and listen to what its coordinator answers."""
        await super().on_start()
        client: Any = self._ensure_consumer()
        coordinator = client._coordinator  # noqa: SLF001
        coordinator._send_req = partial(self.send_and_track_heartbeat, coordinator._send_req)  # noqa: SLF001

    async def send_and_track_heartbeat(
        self, ask: Callable[[Any], Awaitable[Any]], request: Any
    ) -> Any:
        """Ask the coordinator; note if the answer shows that we are a member."""
        # Before it is sent: the group counts from when it arrives, which is later.
        asked_at = time.monotonic()
        answer = await ask(request)
        consumer: Any = self.consumer
        shows = type(request).__name__ in _SHOWS_MEMBERSHIP
        if shows and answer.error_code in _MEMBER:
            consumer.membership.confirm(asked_at)
        return answer
