"""Deliveries in backoff: how often they failed, and how to end their wait early."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookseal.delivery.ordering.partition import PartitionContext

EndpointRef = tuple[str, str]
"""Customer id and endpoint id."""


class BackoffWaits:
    """Knows every delivery that waits for its next attempt."""

    def __init__(self) -> None:
        self._waiting: dict[EndpointRef, dict[asyncio.Future[None], int | None]] = {}

    async def wait(
        self,
        endpoint_ref: EndpointRef,
        context: PartitionContext,
        seconds: float,
        *,
        failed: int | None,
    ) -> None:
        """Wait in backoff, or until `wake` is called for the endpoint.

        `failed` is the number of failed attempts; None = the endpoint's rate limit is the reason.
        """
        cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(endpoint_ref, {})
        waiting[cut] = failed
        try:
            await context.backoff(seconds, or_until=cut)
        finally:
            del waiting[cut]
            if not waiting and self._waiting.get(endpoint_ref) is waiting:
                del self._waiting[endpoint_ref]

    def waiting_endpoints(self, *, failed: int) -> list[EndpointRef]:
        """Return endpoints with a delivery that failed so often or waits for the rate limit."""
        return [
            endpoint_ref
            for endpoint_ref, waiting in self._waiting.items()
            if any(times is None or times >= failed for times in waiting.values())
        ]

    def is_waiting(self, endpoint_ref: EndpointRef) -> bool:
        """Return whether a delivery to this endpoint waits for its next attempt."""
        return endpoint_ref in self._waiting

    def wake(self, endpoint_ref: EndpointRef) -> None:
        """End the wait of the deliveries to this endpoint."""
        for cut in self._waiting.get(endpoint_ref, ()):
            if not cut.done():
                cut.set_result(None)
