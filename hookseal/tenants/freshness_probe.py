"""Measures whether a reader of a log is up to date.

A consumer gets no records both if none exist and if the broker is gone. So the broker is asked for
the log's end offset. Once the reader reaches it, the reader was up to date when the question was
sent.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_EVERY_S = 1.0
# Callers may come by the thousand; the broker is asked no oftener than this.
_GAP_S = 0.02
_GAP_AFTER_FAILURE_S = 0.5
# After that, ask again: the log of a slow reader may have grown.
_REACH_S = 5.0


class _Round:
    """One question, and the callers that wait for its answer."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.reached = False


class FreshnessProbe:
    """Asks for the log's end about once a second, and at once for a caller of `settle`.

    Attributes:
        ends: Where the log ended when it was asked last, by partition; empty before that.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[Mapping[int, int]]],
        positions: Mapping[int, int],
        *,
        heard: Callable[[BrokerError | None], None],
        caught_up: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask about one reader.

        Args:
            ask: Returns the end offset of each partition.
            positions: The reader's positions by partition; they change as it reads.
            heard: Called with the error of each question, or None if it was answered.
            caught_up: Called each time the reader is up to date.
            now: Monotonic clock, in seconds.
        """
        self.ends: Mapping[int, int] = {}
        self._ask = ask
        self._positions = positions
        self._heard = heard
        self._on_caught_up = caught_up
        self._now = now
        self._asked_at = now()
        self._caught_up_at: float | None = None
        self._advanced = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._next = _Round()

    @property
    def age_s(self) -> float | None:
        """Seconds since the reader was certainly up to date; None = never."""
        return None if self._caught_up_at is None else self._now() - self._caught_up_at

    def advanced(self) -> None:
        """Tell the probe that the positions moved."""
        self._advanced.set()

    async def settle(self, timeout_s: float) -> bool:
        """Wait until everything that the log has now is read; return whether that succeeded.

        A call during a question waits for the next one: the answer to the current one may be older
        than the call.

        Args:
            timeout_s: Seconds to wait at most.
        """
        awaited = self._next
        self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s):
                await awaited.over.wait()
        except TimeoutError:
            return False
        return awaited.reached

    async def run(self) -> None:
        """Ask until cancelled.

        Raises:
            BrokerError: The log cannot be followed any further. With `broker_unreachable`
                it goes on asking.
        """
        gap_s = 0.0
        try:
            while True:
                await self._until(self._wanted, _EVERY_S)
                # Callers that arrive until then share the question.
                await asyncio.sleep(max(0.0, self._asked_at + gap_s - self._now()))
                try:
                    await self._round()
                except BrokerError as error:
                    if error.code != "broker_unreachable":
                        raise
                    self._heard(error)
                    gap_s = _GAP_AFTER_FAILURE_S
                else:
                    gap_s = _GAP_S
        finally:
            self._next.over.set()

    async def _round(self) -> None:
        this, self._next = self._next, _Round()
        self._wanted.clear()
        try:
            self._asked_at = asked_at = self._now()
            self.ends = await self._ask()
            self._heard(None)
            this.reached = await self._reach(self.ends)
            if this.reached:
                # What was written after the question may not be read yet.
                self._caught_up_at = asked_at
                self._on_caught_up()
        finally:
            this.over.set()

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
