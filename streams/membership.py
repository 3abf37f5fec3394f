"""Does the consumer group still count this worker as a member?"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_S = 0.05


class Membership:
    """The engine's `Gate`: closed while the partitions may belong to another worker.

    The group reassigns the partitions of a worker that sent no heartbeat for the session timeout.
    A process that was frozen (SIGSTOP, a suspended machine, a long stall) does not notice. So each
    answered heartbeat keeps the gate open for one session timeout from when it was **sent**, on a
    clock that goes on while the process is frozen. During a rebalance the gate is closed.
    """

    def __init__(
        self,
        session_timeout_s: float,
        *,
        rebalancing: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session_timeout_s = session_timeout_s
        self._rebalancing = rebalancing
        self._monotonic = monotonic
        self._until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the group counts this worker as the owner of its partitions."""
        return not self.has_lapsed and not self._rebalancing()

    @property
    def has_lapsed(self) -> bool:
        """Whether the session timeout passed since the last answered heartbeat."""
        return self._monotonic() >= self._until

    def confirm(self, asked_at: float) -> None:
        """Note that the group answered a heartbeat, sent at that second of the clock."""
        self._until = max(self._until, asked_at + self._session_timeout_s)

    async def opened(self) -> None:
        """Wait until the gate is open."""
        # Polls: heartbeats are answered in another thread.
        while not self.is_open:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
