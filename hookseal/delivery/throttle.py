"""Holds attempts back that an endpoint asked to be spared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookseal.delivery.lane import Lane
    from hookseal.delivery.ports import Clock
    from hookseal.delivery.trouble import Place
    from hookseal.domain.limits import EndpointLimits

__all__ = ["Throttle"]

# Endpoints that are remembered; beyond it the one that was used least lately is forgotten,
# which costs it nothing but a fresh bucket.
_REMEMBERED = 10_000
_SHORTEST_S = 0.001


@dataclass(slots=True)
class _State:
    tokens: float
    at: float
    on_wire: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class Throttle:
    """Knows how many attempts an endpoint has on the wire, and how many it had lately.

    A customer's events stand on one partition, so one worker sees all of its endpoints'
    attempts. A worker that takes a partition over begins with a full bucket.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[Place, _State] = {}

    async def admitted(self, place: Place, limits: EndpointLimits, lane: Lane) -> None:
        """Return once an attempt may be made; `ended` must follow.

        Raises:
            LaneStoppedError: The lane stopped before that.
        """
        state = self._state(place, limits)
        while True:
            if limits.concurrency is not None and state.on_wire >= limits.concurrency:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                state.waiting.append(turn)
                try:
                    await lane.pause(None, or_until=turn)
                finally:
                    if turn in state.waiting:
                        state.waiting.remove(turn)
                continue
            wait_s = self._wait_s(state, limits)
            if wait_s <= 0:
                break
            await lane.pause(wait_s)
        if limits.rate_per_s is not None:
            state.tokens -= 1
        state.on_wire += 1

    def ended(self, place: Place) -> None:
        """Note that an attempt ended."""
        state = self._states.get(place)
        if state is None:
            return
        state.on_wire -= 1
        if state.waiting:
            state.waiting.pop(0).set_result(None)

    def _wait_s(self, state: _State, limits: EndpointLimits) -> float:
        """Fill the bucket up to now; return the seconds until it holds a token."""
        if limits.rate_per_s is None:
            return 0.0
        now = self._clock.now()
        most = max(1.0, limits.rate_per_s)
        # A clock that was set back fills nothing.
        filled = max(0.0, now - state.at) * limits.rate_per_s
        state.tokens, state.at = min(most, state.tokens + filled), now
        missing = 1.0 - state.tokens
        # Not so short that a clock could not tell it from nothing.
        return max(_SHORTEST_S, missing / limits.rate_per_s) if missing > 0 else 0.0

    def _state(self, place: Place, limits: EndpointLimits) -> _State:
        state = self._states.pop(place, None)
        if state is None:
            state = _State(max(1.0, limits.rate_per_s or 1.0), self._clock.now())
            if len(self._states) >= _REMEMBERED:
                self._forget_one()
        self._states[place] = state
        return state

    def _forget_one(self) -> None:
        for place, state in self._states.items():
            if state.on_wire == 0 and not state.waiting:
                del self._states[place]
                return
