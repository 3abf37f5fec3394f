"""Holds attempts back that an endpoint asked to be spared."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock
    from hookseal.domain.endpoint import EndpointLimits

__all__ = ["Throttle"]

# Endpoints that are remembered; beyond it the one that was used least lately is forgotten,
# which costs it nothing but a fresh bucket.
_REMEMBERED = 10_000
_SHORTEST_S = 0.001


@dataclass(slots=True)
class _State:
    """One endpoint.

    Attributes:
        tokens: Attempts that may be made at once.
        at: Unix seconds at which they were counted.
        on_wire: Attempts that were admitted and did not end.
        first: Whether somebody stands in front of the line.
        line: Who stands behind.
        free: Done when an attempt ended, for whoever is first.
    """

    tokens: float
    at: float
    on_wire: int = 0
    first: bool = False
    line: deque[asyncio.Future[None]] = field(default_factory=deque)
    free: asyncio.Future[None] | None = None

    @property
    def is_used(self) -> bool:
        return self.first or self.on_wire > 0 or bool(self.line)

    def next(self) -> None:
        """Let the next one be first."""
        while self.line:
            turn = self.line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.first = False


class Throttle:
    """Knows how many attempts an endpoint has on the wire, and how many it had lately.

    A customer's events stand on one partition, so one worker sees all of its endpoints'
    attempts. A worker that takes a partition over begins with a full bucket.

    Of those who wait for an endpoint one alone looks at the clock: a thousand that all
    wake for each token would keep a core busy.
    """

    def __init__(self, clock: Clock, backoff: BackoffWaits) -> None:
        self._clock = clock
        self._backoff = backoff
        self._states: dict[EndpointRef, _State] = {}

    async def admitted(
        self,
        endpoint_ref: EndpointRef,
        limits: Callable[[], EndpointLimits | None],
        context: PartitionContext,
    ) -> None:
        """Return once an attempt may be made; `ended` must follow.

        Args:
            endpoint_ref: Where it goes.
            limits: The endpoint's, as they are now; None = nothing holds it back any more.
            context: Its partition, in which it waits.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        state = self._state(endpoint_ref)
        await self._first(state, context)
        try:
            await self._allowed(state, endpoint_ref, limits, context)
        finally:
            state.next()
        state.on_wire += 1

    def ended(self, endpoint_ref: EndpointRef) -> None:
        """Note that an attempt ended."""
        state = self._states[endpoint_ref]
        state.on_wire -= 1
        if state.free is not None and not state.free.done():
            state.free.set_result(None)

    async def _first(self, state: _State, context: PartitionContext) -> None:
        if not state.first:
            state.first = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.line.append(turn)
        try:
            await context.wait(None, or_until=turn)
        except BaseException:
            if turn.done():
                # It was this one's turn already: the next must not wait for ever.
                state.next()
            else:
                with suppress(ValueError):
                    state.line.remove(turn)
            raise

    async def _allowed(
        self,
        state: _State,
        endpoint_ref: EndpointRef,
        limits: Callable[[], EndpointLimits | None],
        context: PartitionContext,
    ) -> None:
        while (asked := limits()) is not None:
            if asked.concurrency is not None and state.on_wire >= asked.concurrency:
                state.free = asyncio.get_running_loop().create_future()
                await context.wait(None, or_until=state.free)
            elif (wait_s := self._wait_s(state, asked)) > 0:
                # As in backoff: a suspension cuts it short, and a lane that is full because of
                # it is a reason for one, so that a rate never holds anybody else.
                await self._backoff.wait(endpoint_ref, context, wait_s, failed=None)
            else:
                break

    def _wait_s(self, state: _State, limits: EndpointLimits) -> float:
        """Take a token, or return the seconds until there is one."""
        if limits.rate_per_s is None:
            return 0.0
        now = self._clock.now()
        most = max(1.0, limits.rate_per_s)
        # A clock that was set back fills nothing.
        filled = max(0.0, now - state.at) * limits.rate_per_s
        state.tokens, state.at = min(most, state.tokens + filled), now
        missing = 1.0 - state.tokens
        if missing > 0:
            # Not so short that a clock could not tell it from nothing.
            return max(_SHORTEST_S, missing / limits.rate_per_s)
        state.tokens -= 1
        return 0.0

    def _state(self, endpoint_ref: EndpointRef) -> _State:
        state = self._states.pop(endpoint_ref, None)
        if state is None:
            # As many as any rate allows: the first look cuts it to what this one does.
            state = _State(float("inf"), self._clock.now())
            if len(self._states) >= _REMEMBERED:
                self._forget_one()
        self._states[endpoint_ref] = state
        return state

    def _forget_one(self) -> None:
        for endpoint_ref, state in self._states.items():
            if not state.is_used:
                del self._states[endpoint_ref]
                return
