"""What one partition's deliveries share: when to start, when to wait, when to let go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from hookseal.delivery.limits.concurrency import FairSemaphore

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from hookseal.delivery.ports import Clock, Observer

_SETTLE_S = 0.01


class PartitionStoppedError(Exception):
    """The partition stops before its event is done; the event stays on the log.

    Neither an error nor an outcome: whoever takes over the partition goes on.
    """


class Gate(Protocol):
    """Tells whether this process may still start something on its partitions."""

    @property
    def is_open(self) -> bool:
        """Whether it may, as far as it can know at this moment."""
        ...

    async def opened(self) -> None:
        """Wait until it may."""
        ...


class _Always:
    is_open = True

    async def opened(self) -> None:
        """Return at once."""


class PartitionContext:
    """Starts attempts, holds events while they back off, and lets go when it is told to.

    A stopped lane lets running attempts end, but starts no further one and cuts every
    wait short: an attempt that was accepted can still be acknowledged, while a backoff of
    an hour delays nobody's shut-down.
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
        """Begin.

        Args:
            partition: Counted from 0.
            clock: Time.
            observer: Hears of backoffs.
            gate: Closed while the partition may belong to another process already.
            at_a_time: Attempts on the wire together; None = as many as come.
            each: Of these, attempts of one customer; None = as many as come.
        """
        self.partition = partition
        self._clock = clock
        self._observer = observer
        self._gate: Gate = gate or _Always()
        self._permits = FairSemaphore(at_a_time, each)
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the partition was told to stop."""
        return self._stopping.is_set()

    def is_ours(self) -> bool:
        """Whether the partition is known to be ours at this moment."""
        return self._gate.is_open

    def may_start(self) -> bool:
        """Whether a request may still be sent: the lane is not stopped, the partition is ours."""
        return not self.stopped and self._gate.is_open

    @property
    def in_flight(self) -> int:
        """Attempts that are on the wire now."""
        return self._permits.count

    def stop(self) -> None:
        """Start no further attempt and cut every wait short."""
        self._stopping.set()
        self._permits.cancel_waiters()

    async def wait_for_ownership(self) -> None:
        """Return once the partition is known to be ours.

        Raises:
            PartitionStoppedError: If the partition is told to stop before that is known.
        """
        while not self._gate.is_open:
            await self.cancel_on_stop(self._gate.opened())

    async def begin_attempt(self, customer_id: str) -> bool:
        """Wait for ownership and a slot for an attempt; `end_attempt` must follow.

        Returns:
            Whether it waited.

        Raises:
            PartitionStoppedError: The partition stopped first.
        """
        waited = False
        while not self.stopped:
            if not self._gate.is_open:
                waited = True
                await self.wait_for_ownership()
            elif self._permits.entered_at_once(customer_id):
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
        """Make room for the next attempt."""
        self._permits.release(customer_id)
        if self._permits.count == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no attempt is on the wire."""
        await self._idle.wait()

    async def backoff(
        self, seconds: float, *, or_until: asyncio.Future[None] | None = None
    ) -> None:
        """Wait in backoff.

        Args:
            seconds: How long.
            or_until: Done when there is no use in waiting on.

        Raises:
            PartitionStoppedError: If the partition is told to stop meanwhile.
        """
        self._observer.waiting(self.partition, seconds)
        try:
            await self.wait(seconds, or_until=or_until)
        finally:
            self._observer.resumed(self.partition)

    async def wait(
        self, seconds: float | None, *, or_until: asyncio.Future[None] | None = None
    ) -> None:
        """Wait, without counting as in backoff; None = until the future is done.

        Raises:
            PartitionStoppedError: If the partition is told to stop meanwhile.
        """
        if self.stopped:
            raise PartitionStoppedError
        sleeping = () if seconds is None else (asyncio.ensure_future(self._clock.sleep(seconds)),)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            until = () if or_until is None else (or_until,)
            await asyncio.wait((*sleeping, stop, *until), return_when=asyncio.FIRST_COMPLETED)
            if self.stopped:
                raise PartitionStoppedError
        finally:
            for task in (*sleeping, stop):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def cancel_on_stop(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Await something that may be dropped when the partition stops.

        Raises:
            PartitionStoppedError: If the partition is told to stop first.
        """
        if self.stopped:
            waiting.close()
            raise PartitionStoppedError
        work = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise PartitionStoppedError
            work.result()
        finally:
            for task in (work, stop):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def wait_idle(contexts: Iterable[PartitionContext], timeout_s: float) -> None:
    """Wait until no attempt of these partitions is on the wire, at most `timeout_s` seconds."""
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
