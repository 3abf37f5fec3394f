"""Confirm the membership with each answered heartbeat.

Symptom: a process that was frozen continues until its next heartbeat is refused: 27 attempts on
five partitions that belonged to another worker, where five were on the wire. aiokafka has no
callback for answered heartbeats.
Patches: GroupCoordinator._send_req (aiokafka), on the started client.
Test: TestHeartbeats, test_a_worker_that_was_frozen_starts_nothing_on_what_it_lost.
Drop when: aiokafka has a callback for answered heartbeats.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# Error codes of a member's answers: none, and REBALANCE_IN_PROGRESS.
_MEMBER = (0, 27)
_SHOWS_MEMBERSHIP = ("HeartbeatRequest", "SyncGroupRequest")


class HeartbeatsThread(driver.AIOKafkaConsumerThread):
    """A consumer thread that confirms the membership of its consumer with each answer."""

    async def on_start(self) -> None:
        """Start the client, and read the answers of its coordinator."""
        await super().on_start()
        client: Any = self._ensure_consumer()
        coordinator = client._coordinator  # noqa: SLF001
        coordinator._send_req = partial(self.send_and_track_heartbeat, coordinator._send_req)  # noqa: SLF001

    async def send_and_track_heartbeat(
        self, ask: Callable[[Any], Awaitable[Any]], request: Any
    ) -> Any:
        """Send a request to the coordinator; confirm the membership if the answer shows it."""
        # Before it is sent: the group counts from its arrival, which is later.
        asked_at = time.monotonic()
        answer = await ask(request)
        if type(request).__name__ in _SHOWS_MEMBERSHIP and answer.error_code in _MEMBER:
            cast("Any", self.consumer).membership.confirm(asked_at)
        return answer
