"""The permit of one attempt: what has to be free before a request may go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.delivery.limits.backoff_waits import EndpointRef
    from hookseal.delivery.limits.rate import Throttle
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.endpoint import EndpointLimits


class Permit:
    """Permit of one attempt; use it with `async with`.

    Entering waits for the endpoint's own rate and concurrency, then for the ownership of the
    partition and a slot of it. It raises `PartitionStoppedError` if the partition stops first.

    Attributes:
        waited: Whether the last wait took time, in which the tenant may have changed.
    """

    __slots__ = ("_context", "_endpoint_ref", "_holds_slot", "_limits", "_throttle", "waited")

    def __init__(
        self,
        endpoint_ref: EndpointRef,
        context: PartitionContext,
        throttle: Throttle,
        limits: Callable[[], EndpointLimits | None] | None,
    ) -> None:
        """Prepare; nothing is held before the permit is entered.

        Args:
            endpoint_ref: The endpoint that the attempt goes to.
            context: The partition of its event.
            throttle: Counts the attempts of each endpoint.
            limits: Returns the endpoint's limits as they are now; None = it has none.
        """
        self.waited = False
        self._endpoint_ref = endpoint_ref
        self._context = context
        self._throttle = throttle
        self._limits = limits
        self._holds_slot = False

    async def __aenter__(self) -> Self:
        if self._limits is not None:
            await self._throttle.admitted(self._endpoint_ref, self._limits, self._context)
        try:
            self.waited = await self._context.begin_attempt(self._endpoint_ref[0])
        except BaseException:
            self._end_throttle()
            raise
        self._holds_slot = True
        self.waited = self.waited or self._limits is not None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._holds_slot:
            self._context.end_attempt(self._endpoint_ref[0])
        self._end_throttle()

    async def renew(self, *, after_s: float | None = None) -> None:
        """Give the slot back, back off, and wait for ownership and a slot once more.

        The endpoint's rate is not charged again: nothing was sent.

        Args:
            after_s: Seconds to back off; None = no backoff.

        Raises:
            PartitionStoppedError: The partition stopped first.
        """
        self._holds_slot = False
        self._context.end_attempt(self._endpoint_ref[0])
        if after_s is not None:
            await self._context.backoff(after_s)
        await self._context.begin_attempt(self._endpoint_ref[0])
        self._holds_slot = self.waited = True

    def _end_throttle(self) -> None:
        if self._limits is not None:
            self._throttle.ended(self._endpoint_ref)
