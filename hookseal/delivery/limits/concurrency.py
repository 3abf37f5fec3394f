"""Room on the wire: for so many attempts together, and so many of them one customer's."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["FairSemaphore"]


class FairSemaphore:
    """Lets attempts in; customers that wait get their turns one after the other.

    Without a share one customer could take all of it: an event to fifty endpoints whose
    names do not resolve, or that do not answer, would keep everybody else of its partition
    waiting until the timeout of an attempt.
    """

    def __init__(self, in_all: int | None, each: int | None) -> None:
        """Begin empty.

        Args:
            in_all: Attempts at a time; None = as many as come.
            each: Attempts of one customer at a time; None = as many as come.
        """
        self._in_all = in_all
        self._each = each
        self._inside: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[bool]]] = OrderedDict()
        self.count = 0

    async def acquire(self, customer_id: Hashable) -> bool:
        """Return once there is room, and take it; `leave` must follow.

        Returns False, with nothing taken, if all who wait are sent away.
        """
        if self.entered_at_once(customer_id):
            return True
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(customer_id, deque()).append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.result():
                # It was this one's turn already: the next must not wait for ever.
                self.release(customer_id)
            else:
                self._drop(customer_id, waiter)
            raise

    def entered_at_once(self, customer_id: Hashable) -> bool:
        """Take room if there is any now; `leave` must follow only if this returns True."""
        # Whoever waits is let in as soon as it can be, so that nobody here is overtaken.
        if not self._fits(customer_id):
            return False
        self._take(customer_id)
        return True

    def has_room(self) -> bool:
        """Return whether the bound on all attempts together is not reached."""
        return self._in_all is None or self.count < self._in_all

    def release(self, customer_id: Hashable) -> None:
        """Make room for the next."""
        self.count -= 1
        if self._each is not None:
            self._inside[customer_id] -= 1
            if not self._inside[customer_id]:
                del self._inside[customer_id]
        # One leaves, one enters: before, nobody who waits could.
        while (name := next(filter(self._fits, self._waiting), None)) is not None:
            if self._admit(name):
                return

    def cancel_waiters(self) -> None:
        """Let nobody in who waits."""
        waiting, self._waiting = self._waiting, OrderedDict()
        for queue in waiting.values():
            for waiter in queue:
                if not waiter.done():
                    waiter.set_result(False)

    def _fits(self, customer_id: Hashable) -> bool:
        return self.has_room() and (self._each is None or self._inside[customer_id] < self._each)

    def _admit(self, customer_id: Hashable) -> bool:
        """Let the first one in who waits in this line, unless all of them went away."""
        queue = self._waiting.pop(customer_id)
        while queue:
            waiter = queue.popleft()
            if waiter.done():
                # Cancelled, and not yet told.
                continue
            waiter.set_result(True)
            self._take(customer_id)
            if queue:
                # Behind the others.
                self._waiting[customer_id] = queue
            return True
        return False

    def _take(self, customer_id: Hashable) -> None:
        self.count += 1
        if self._each is not None:
            self._inside[customer_id] += 1

    def _drop(self, customer_id: Hashable, waiter: asyncio.Future[bool]) -> None:
        queue = self._waiting.get(customer_id)
        if queue is None:
            return
        with suppress(ValueError):
            queue.remove(waiter)
        if not queue:
            del self._waiting[customer_id]
