"""Deliveries that wait: how often they failed, and how to cut their wait short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookseal.delivery.lane import Lane

__all__ = ["Place", "Trouble"]

Place = tuple[str, str]
"""Customer id and endpoint id."""


class Trouble:
    """Knows every delivery that waits for its next attempt."""

    def __init__(self) -> None:
        self._waiting: dict[Place, dict[asyncio.Future[None], int | None]] = {}

    async def hold(self, place: Place, lane: Lane, seconds: float, *, failed: int | None) -> None:
        """Wait in backoff, or until the endpoint is looked at anew.

        Args:
            place: Where the delivery goes.
            lane: Its lane.
            seconds: How long.
            failed: Attempts that failed so far; None = it waits for the endpoint's rate.

        Raises:
            LaneStoppedError: The lane stopped meanwhile.
        """
        cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(place, {})
        waiting[cut] = failed
        try:
            await lane.hold(seconds, or_until=cut)
        finally:
            del waiting[cut]
            if not waiting and self._waiting.get(place) is waiting:
                del self._waiting[place]

    def places(self, *, failed: int) -> list[Place]:
        """Return where so many attempts of one delivery failed, or the rate holds it back."""
        return [
            place
            for place, waiting in self._waiting.items()
            if any(times is None or times >= failed for times in waiting.values())
        ]

    def waits(self, place: Place) -> bool:
        """Return whether a delivery to this endpoint waits for its next attempt."""
        return place in self._waiting

    def look_again(self, place: Place) -> None:
        """End the wait of the deliveries to this endpoint."""
        for cut in self._waiting.get(place, ()):
            if not cut.done():
                cut.set_result(None)
