"""The state that the deliveries of one partition share: ownership, permits, stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.delivery.limits.concurrency import FairSemaphore

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from hookseal.delivery.ports import Clock
    from hookseal.telemetry.observer import Observer

_SETTLE_S = 0.01


class PartitionStoppedError(Exception):
    """The partition stopped before its event was done; the next owner delivers the event.

    Every wait of a delivery raises it.
    """


class Gate(Protocol):
    """Tells whether this process still owns its partitions."""

    @property
    def is_open(self) -> bool:
        """Whether it does, as far as it can know at this moment."""
        ...

    async def opened(self) -> None:
        """Wait until it does."""


class PartitionContext:
    """Starts attempts and waits of one partition until it is stopped.

    A stopped partition starts no attempt and ends every wait at once. Running attempts may end, so
    that an accepted attempt still counts.
    """

    def __init__(
        self,
        partition: int,
        *,
        clock: Clock,
        observer: Observer,
        gate: Gate | None = None,
        at_a_time: int | None = None,
        each: int | None = None,
    ) -> None:
        """Limit concurrent attempts (`at_a_time`), and those of each customer (`each`).

        None = no limit. Without a gate the process always owns the partition.
        """
        self.partition = partition
        self._clock = clock
        self._observer = observer
        self._gate = gate
        self._permits = FairSemaphore(at_a_time, each)
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def in_flight(self) -> int:
        """Attempts that run now."""
        return self._permits.count

    def is_ours(self) -> bool:
        """Whether this process is known to own the partition at this moment."""
        return self._gate is None or self._gate.is_open

    def may_start(self) -> bool:
        """Whether a request may still be sent."""
        return not self.stopped and self.is_ours()

    def stop(self) -> None:
        """Start no further attempt and end every wait."""
        self._stopping.set()
        self._permits.cancel_waiters()

    async def wait_for_ownership(self) -> None:
        """Return once this process is known to own the partition."""
        while self._gate is not None and not self._gate.is_open:
            await self.cancel_on_stop(self._gate.opened())

    async def begin_attempt(self, customer_id: str) -> bool:
        """Wait for ownership and a slot; `end_attempt` must follow. Return whether it waited."""
        waited = False
        while not self.stopped:
            if not self.is_ours():
                waited = True
                await self.wait_for_ownership()
            elif self._permits.try_acquire(customer_id):
                self._idle.clear()
                return waited
            elif await self._permits.acquire(customer_id):
                self._idle.clear()
                if self.may_start():
                    return True
                # The partition stopped or was revoked during the wait for a slot.
                self.end_attempt(customer_id)
        raise PartitionStoppedError

    def end_attempt(self, customer_id: str) -> None:
        """Release the slot."""
        self._permits.release(customer_id)
        if self._permits.count == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no attempt runs."""
        await self._idle.wait()

    async def backoff(
        self, seconds: float, *, or_until: asyncio.Future[None] | None = None
    ) -> None:
        """Wait in backoff, or until the future is done."""
        self._observer.waiting(self.partition)
        try:
            await self.wait(seconds, or_until=or_until)
        finally:
            self._observer.resumed(self.partition)

    async def wait(
        self, seconds: float | None, *, or_until: asyncio.Future[None] | None = None
    ) -> None:
        """Wait without counting as backoff; None = until the future is done."""
        if self.stopped:
            raise PartitionStoppedError
        until = [] if or_until is None else [or_until]
        own = [] if seconds is None else [asyncio.ensure_future(self._clock.sleep(seconds))]
        await self._first_done(own, until)
        if self.stopped:
            raise PartitionStoppedError

    async def cancel_on_stop(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Await a coroutine, and cancel it when the partition stops."""
        if self.stopped:
            waiting.close()
            raise PartitionStoppedError
        work = asyncio.ensure_future(waiting)
        if work not in await self._first_done([work], []):
            raise PartitionStoppedError
        work.result()

    async def _first_done(
        self, own: Sequence[asyncio.Future[None]], others: Sequence[asyncio.Future[None]]
    ) -> set[asyncio.Future[Any]]:
        """Return which are done at the first one, or at the stop; cancel the rest of `own`."""
        stop = asyncio.ensure_future(self._stopping.wait())
        tasks: list[asyncio.Future[Any]] = [*own, stop]
        try:
            done, _ = await asyncio.wait([*tasks, *others], return_when=asyncio.FIRST_COMPLETED)
            return done
        finally:
            for task in tasks:
                if task.cancel():
                    with suppress(asyncio.CancelledError):
                        await task


async def wait_idle(contexts: Iterable[PartitionContext], timeout_s: float) -> None:
    """Wait until no attempt of these partitions runs, at most `timeout_s` seconds."""
    waiting = [
        asyncio.ensure_future(context.wait_idle()) for context in contexts if context.in_flight
    ]
    if not waiting:
        return
    _, late = await asyncio.wait(waiting, timeout=timeout_s)
    for task in late:
        task.cancel()
    # The decision of an attempt needs a few steps of the event loop to reach the offset tracker.
    await asyncio.sleep(_SETTLE_S)
