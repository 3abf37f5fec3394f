"""The partitions of a store, as a process runs them."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.delivery.ordering import Limits
from hookseal.local.leases import Leases
from hookseal.local.runtime import assignment
from hookseal.local.runtime.assignment import PartitionAssignment, StoreSource
from hookseal.local.store import Write
from hookseal.runtime.partition_runner import PartitionRunner
from tests.conditions import until
from tests.fakes import FakeClock, RecordingObserver, UndividedHandler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.domain.record import Record
    from hookseal.local.store import Store
    from tests.integration.local.conftest import OpenStore


class Handler(UndividedHandler):
    """Fails once if it is told to, and keeps each event until `may_end`."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.fails = False
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, record: Record, context: PartitionContext, _: object = None) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("boom")
        await self.may_end.wait()
        self.done.append(record.offset)


class MovingLeases(Leases):
    """Leases that another process takes over at once."""

    async def start(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        changed()

    def lose(self, partition: int) -> None:
        del self.held[partition]
        self.changed()


async def nothing(*_: object) -> None:
    """Have no suspended endpoints, and nothing to catch up with."""


class Running:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.handler = Handler()
        self.observer = RecordingObserver()
        self.leases = MovingLeases(store.partitions)
        self.runner: PartitionRunner[int] = PartitionRunner(
            source=partial(StoreSource, store=store, leases=self.leases),
            handler=_any(self.handler),
            catch_up=nothing,
            observer=self.observer,
            clock=FakeClock(),
            ordering="customer",
            limits=Limits(events=10, waiting=10),
            pressure=None,
            at_a_time=None,
            each=None,
            grace_s=5,
        )
        self.assignment = PartitionAssignment(
            store=store,
            leases=self.leases,
            runner=self.runner,
            suspended_endpoints=_any(SimpleNamespace(assign=nothing, stop=nothing)),
            observer=self.observer,
        )

    async def publish(self, count: int) -> None:
        await self.store.publish([Write(0, b"acme", b"{}")] * count, room=None)

    async def unfinished(self) -> int:
        return sum(await self.store.unfinished())


@pytest.fixture
async def running(open_store: OpenStore) -> AsyncIterator[Running]:
    made = Running(await open_store())
    await made.assignment.start()
    yield made
    await made.assignment.close()


def _any(value: Any) -> Any:
    return value


async def test_done_events_are_deleted(running: Running) -> None:
    await running.publish(3)

    await until(lambda: running.handler.done == [0, 1, 2])
    await running.assignment.close()

    assert await running.unfinished() == 0


async def test_a_lost_partition_without_events_is_stopped(running: Running) -> None:
    await until(lambda: len(running.assignment._agents) == 2)

    running.leases.lose(1)
    await until(lambda: set(running.assignment._agents) == {0})

    await running.publish(1)
    await until(lambda: running.handler.done == [0])


async def test_a_running_attempt_may_end_after_the_lease_is_lost(running: Running) -> None:
    running.handler.may_end.clear()
    await running.publish(1)
    await until(lambda: bool(running.runner._running))

    running.leases.lose(0)
    await asyncio.sleep(0.05)
    running.handler.may_end.set()
    await until(lambda: set(running.assignment._agents) == {1})

    assert await running.unfinished() == 1 - len(running.handler.done)


async def test_a_crash_delivers_unfinished_events_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignment, "_CRASH_PAUSE_S", 0.01)
    running.handler.fails = True
    await running.publish(2)
    await until(lambda: not running.handler.fails)
    # The next event finds that the scheduler has failed.
    await running.publish(1)

    await until(lambda: set(running.handler.done) == {0, 1, 2})

    assert running.observer.crashes
