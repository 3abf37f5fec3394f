"""Limits on concurrent attempts, and the permit that one attempt needs."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from hookseal.delivery.limits.backoff_waits import EndpointRef
    from hookseal.delivery.limits.rate import Throttle
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.endpoint import EndpointLimits


class FairSemaphore:
    """A semaphore with a limit per customer; waiting customers take turns.

    Without the second limit one customer could use all permits: an event to fifty endpoints that
    do not answer would block all other customers of its partition until the timeout.
    """

    def __init__(self, in_all: int | None, each: int | None) -> None:
        """Limit all permits together and the permits of each customer; None = no limit."""
        self._in_all = in_all
        self._each = each
        self._inside: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[bool]]] = OrderedDict()
        self.count = 0

    async def acquire(self, customer_id: Hashable) -> bool:
        """Wait for a permit; `release` must follow. Return False if the waiters were cancelled."""
        if self.try_acquire(customer_id):
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(customer_id, deque()).append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                # The permit was granted already: pass it on.
                self.release(customer_id)
            else:
                self._drop(customer_id, waiter)
            raise

    def try_acquire(self, customer_id: Hashable) -> bool:
        """Take a permit if one is free; only then `release` must follow."""
        # Waiters get a permit as soon as it is free, so this overtakes none of them.
        if not self._fits(customer_id):
            return False
        self._take(customer_id)
        return True

    def has_room(self) -> bool:
        """Return whether the limit on all permits is not reached."""
        return self._in_all is None or self.count < self._in_all

    def release(self, customer_id: Hashable) -> None:
        """Return a permit, and grant it to the next waiter."""
        self.count -= 1
        if self._each is not None:
            self._inside[customer_id] -= 1
            if not self._inside[customer_id]:
                del self._inside[customer_id]
        # One returned permit admits at most one waiter.
        while (name := next(filter(self._fits, self._waiting), None)) is not None:
            if self._admit(name):
                return

    def cancel_waiters(self) -> None:
        """Cancel all waiters: their `acquire` returns False."""
        waiting, self._waiting = self._waiting, OrderedDict()
        for queue in waiting.values():
            for waiter in queue:
                if not waiter.done():
                    waiter.set_result(False)

    def _fits(self, customer_id: Hashable) -> bool:
        return self.has_room() and (self._each is None or self._inside[customer_id] < self._each)

    def _admit(self, customer_id: Hashable) -> bool:
        """Grant a permit to the customer's first waiter; return False if all were cancelled."""
        queue = self._waiting.pop(customer_id)
        while queue:
            waiter = queue.popleft()
            if waiter.done():
                # Cancelled; its task did not run yet.
                continue
            waiter.set_result(True)
            self._take(customer_id)
            if queue:
                # Other customers are next.
                self._waiting[customer_id] = queue
            return True
        return False

    def _take(self, customer_id: Hashable) -> None:
        self.count += 1
        if self._each is not None:
            self._inside[customer_id] += 1

    def _drop(self, customer_id: Hashable, waiter: asyncio.Future[bool]) -> None:
        if (queue := self._waiting.get(customer_id)) is None:
            return
        with suppress(ValueError):
            queue.remove(waiter)
        if not queue:
            del self._waiting[customer_id]


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
        """`limits` returns the endpoint's limits as they are now; None = it has none."""
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
        """Release the slot, back off for `after_s` seconds, and wait for ownership and a slot.

        The endpoint's rate is not charged again: nothing was sent.
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
