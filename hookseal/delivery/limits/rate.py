"""Rate limit and concurrency limit of each endpoint."""

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

# Endpoints in memory. Beyond it the least recently used one is dropped and gets a full bucket.
_REMEMBERED = 10_000
_SHORTEST_S = 0.001


@dataclass(slots=True)
class _State:
    """Token bucket of one endpoint, counted at the Unix second `at`, and its waiting attempts.

    Attributes:
        first: Whether an attempt is at the head of the queue. Only that one looks at the clock.
        free: Done when a running attempt ended.
    """

    tokens: float
    at: float
    running: int = 0
    first: bool = False
    queue: deque[asyncio.Future[None]] = field(default_factory=deque)
    free: asyncio.Future[None] | None = None

    @property
    def is_used(self) -> bool:
        return self.first or self.running > 0 or bool(self.queue)

    def next(self) -> None:
        """Move the next attempt to the head."""
        while self.queue:
            turn = self.queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.first = False


class Throttle:
    """Admits attempts by the rate and concurrency limits of their endpoints.

    A customer's events are on one partition, so one worker sees all attempts of its endpoints. A
    new owner of the partition starts with a full bucket. Of the attempts that wait for an endpoint
    only the first looks at the clock: a thousand that wake for each token keep a core busy.
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
        """Return once an attempt is allowed; `ended` must follow.

        `limits` returns the endpoint's limits as they are now; None = no limit any more.
        """
        state = self._state(endpoint_ref)
        await self._first(state, context)
        try:
            await self._allowed(state, endpoint_ref, limits, context)
        finally:
            state.next()
        state.running += 1

    def ended(self, endpoint_ref: EndpointRef) -> None:
        """Count an attempt as ended."""
        state = self._states[endpoint_ref]
        state.running -= 1
        if state.free is not None and not state.free.done():
            state.free.set_result(None)

    async def _first(self, state: _State, context: PartitionContext) -> None:
        if not state.first:
            state.first = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.queue.append(turn)
        try:
            await context.wait(None, or_until=turn)
        except BaseException:
            if turn.done():
                # It was at the head already: move the next one there.
                state.next()
            else:
                with suppress(ValueError):
                    state.queue.remove(turn)
            raise

    async def _allowed(
        self,
        state: _State,
        endpoint_ref: EndpointRef,
        limits: Callable[[], EndpointLimits | None],
        context: PartitionContext,
    ) -> None:
        while (asked := limits()) is not None:
            if asked.concurrency is not None and state.running >= asked.concurrency:
                state.free = asyncio.get_running_loop().create_future()
                await context.wait(None, or_until=state.free)
            elif (wait_s := self._wait_s(state, asked)) > 0:
                # Counts as backoff: a suspension ends the wait, and a queue that is full because
                # of it leads to a suspension. So a rate limit never blocks other customers.
                await self._backoff.wait(endpoint_ref, context, wait_s, failed=None)
            else:
                break

    def _wait_s(self, state: _State, limits: EndpointLimits) -> float:
        """Take a token, or return the seconds until there is one."""
        if limits.rate_per_s is None:
            return 0.0
        now = self._clock.now()
        most = max(1.0, limits.rate_per_s)
        # A clock that was set back adds no tokens.
        filled = max(0.0, now - state.at) * limits.rate_per_s
        state.tokens, state.at = min(most, state.tokens + filled), now
        missing = 1.0 - state.tokens
        if missing > 0:
            # Not below the resolution of the clock.
            return max(_SHORTEST_S, missing / limits.rate_per_s)
        state.tokens -= 1
        return 0.0

    def _state(self, endpoint_ref: EndpointRef) -> _State:
        state = self._states.pop(endpoint_ref, None)
        if state is None:
            # `_wait_s` cuts it to the endpoint's burst.
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
