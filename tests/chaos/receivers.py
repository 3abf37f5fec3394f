"""The receivers of all endpoints: in one server, each with its moods, and the books."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.plan import Mood, Stretch

__all__ = ["Accepted", "Receivers"]

_HANG_S = 30.0
_LATE_S = 1.0
_SLOW_S = 0.4


@dataclass(frozen=True, slots=True)
class Accepted:
    """One request that was answered with 200.

    Attributes:
        at_s: Seconds from the beginning.
        event_id: `webhook-id`, `<customer>-<number>`.
    """

    at_s: float
    event_id: str


@dataclass
class Receivers:
    """Serves `/<customer>/<endpoint>`; a context manager.

    Attributes:
        moods: The bad stretches, by receiver: `<customer>/<endpoint>`.
        accepted: By receiver, in the order of their answers, repeats too.
        refused: Requests that were not accepted.
    """

    moods: Mapping[str, list[Stretch]]
    accepted: dict[str, list[Accepted]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    count: int = 0
    started: float = 0.0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{customer}/{endpoint}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self._changed = asyncio.Condition()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def begin(self) -> None:
        """Start the clock of the moods and the books."""
        self.started = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds from the beginning."""
        return time.monotonic() - self.started

    def url(self, receiver: str) -> str:
        return f"http://127.0.0.1:{self.port}/{receiver}"

    def distinct(self) -> int:
        """Return how many deliveries were accepted, each counted once."""
        return sum(len({one.event_id for one in books}) for books in self.accepted.values())

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until the condition holds; return whether it did in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.25)
        return True

    async def _receive(self, request: web.Request) -> web.Response:
        receiver, event_id = request.path.removeprefix("/"), request.headers["webhook-id"]
        await request.read()
        status = await self._answer(self._mood_of(receiver), request)
        if status == web.HTTPOk.status_code:
            self.count += 1
            self.accepted[receiver].append(Accepted(self.now_s, event_id))
        else:
            self.refused += 1
        return web.Response(status=status)

    async def _answer(self, mood: Mood | None, request: web.Request) -> int:
        if mood == "hang":
            await asyncio.sleep(_HANG_S)
        elif mood == "reset" and request.transport is not None:
            request.transport.abort()
        elif mood == "late":
            await asyncio.sleep(_LATE_S)
        elif mood == "slow":
            await asyncio.sleep(_SLOW_S)
        return 200 if mood in (None, "late", "slow") else 503

    def _mood_of(self, receiver: str) -> Mood | None:
        now = self.now_s
        for stretch in self.moods.get(receiver, ()):
            if stretch.start_s <= now < stretch.end_s:
                return stretch.mood
        return None
