"""One sequential line of work: a partition, or its stand-in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hookseal.delivery.ports import Clock, Observer

__all__ = ["Lane", "LaneStoppedError"]


class LaneStoppedError(Exception):
    """The lane stops before its event is done; the event stays on the log.

    Neither an error nor an outcome: whoever takes over the partition goes on.
    """


class Lane:
    """Holds events while they back off, and lets go at once when it is told to stop.

    A stopped lane lets a running attempt end, but starts no further one and cuts every
    wait short: an attempt that was accepted can still be acknowledged, while a backoff of
    an hour delays nobody's shut-down.
    """

    def __init__(self, partition: int, *, clock: Clock, observer: Observer) -> None:
        self.partition = partition
        self._clock = clock
        self._observer = observer
        self._stopping = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the lane was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Start no further attempt and cut every wait short."""
        self._stopping.set()

    def go_on(self) -> None:
        """Return if the lane may start something new.

        Raises:
            LaneStoppedError: If it was told to stop.
        """
        if self.stopped:
            raise LaneStoppedError

    async def hold(self, seconds: float) -> None:
        """Wait in backoff.

        Raises:
            LaneStoppedError: If the lane is told to stop meanwhile.
        """
        self._observer.waiting(self.partition, seconds)
        try:
            await self.unless_stopped(self._clock.sleep(seconds))
        finally:
            self._observer.resumed(self.partition)

    async def unless_stopped(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Await something that may be dropped when the lane stops.

        Raises:
            LaneStoppedError: If the lane is told to stop first.
        """
        if self.stopped:
            waiting.close()
            raise LaneStoppedError
        work = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise LaneStoppedError
            work.result()
        finally:
            for task in (work, stop):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
