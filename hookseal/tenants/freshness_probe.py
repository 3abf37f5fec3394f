"""Measures whether a reader of a log is up to date.

A consumer gets no records if none exist, and also if the broker is down. So the probe asks the
broker for the end offset. A reader that reaches this offset was up to date at the request.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_EVERY_S = 1.0
# Thousands of callers may wait. They share requests, with at least this gap between two.
_GAP_S = 0.02
_GAP_AFTER_FAILURE_S = 0.5
# Then ask again: the log of a slow reader may have grown.
_REACH_S = 5.0


class FreshnessProbe:
    """Asks for the end of the log about once a second, and at once for a caller of `settle`.

    Attributes:
        ends: The end offsets of the last answer, by partition; empty before the first one.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Mapping[int, int]]],
        positions: Mapping[int, int],
        *,
        on_asked: Callable[[BrokerError | None], None],
        on_caught_up: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Probe one reader, whose `positions` change as it reads.

        `ask` returns the end offset of each partition. `on_asked` gets the error of each request,
        or None. `on_caught_up` is called each time the reader is up to date.
        """
        self.ends: Mapping[int, int] = {}
        self._ask = ask
        self._positions = positions
        self._on_asked = on_asked
        self._on_caught_up = on_caught_up
        self._now = now
        self._asked_at = now()
        self._caught_up_at: float | None = None
        self._advanced = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        # Of the next request: whether the reader reached the end of the log.
        self._next: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def age_s(self) -> float | None:
        """Seconds since the reader was certainly up to date; None = never."""
        return None if self._caught_up_at is None else self._now() - self._caught_up_at

    def advanced(self) -> None:
        """Tell the probe that the positions moved."""
        self._advanced.set()

    async def settle(self, timeout_s: float) -> bool:
        """Wait until the reader reaches the present end of the log; return whether it does.

        A call during a request waits for the next one: the answer to the current one may be older
        than the call.
        """
        self._wanted.set()
        done, _ = await asyncio.wait((self._next,), timeout=timeout_s)
        return any(result.result() for result in done)

    async def run(self) -> None:
        """Ask until cancelled.

        Raises:
            BrokerError: The log cannot be followed any more. `broker_unreachable` is not raised
                but retried.
        """
        gap_s = 0.0
        try:
            while True:
                await self._until(self._wanted, _EVERY_S)
                # Callers that arrive until then share the request.
                await asyncio.sleep(max(0.0, self._asked_at + gap_s - self._now()))
                try:
                    await self._ask_once()
                except BrokerError as error:
                    if error.code != "broker_unreachable":
                        raise
                    self._on_asked(error)
                    gap_s = _GAP_AFTER_FAILURE_S
                else:
                    gap_s = _GAP_S
        finally:
            self._next.set_result(False)

    async def _ask_once(self) -> None:
        result, self._next = self._next, asyncio.get_running_loop().create_future()
        self._wanted.clear()
        reached = False
        try:
            self._asked_at = asked_at = self._now()
            self.ends = await self._ask()
            self._on_asked(None)
            reached = await self._reach(self.ends)
            if reached:
                # Records that were written after the request may not be read yet.
                self._caught_up_at = asked_at
                self._on_caught_up()
        finally:
            result.set_result(reached)

    async def _reach(self, ends: Mapping[int, int]) -> bool:
        deadline = self._now() + _REACH_S
        while any(self._positions[partition] < end for partition, end in ends.items()):
            self._advanced.clear()
            if not await self._until(self._advanced, deadline - self._now()):
                return False
        return True

    @staticmethod
    async def _until(event: asyncio.Event, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return False
        return True
