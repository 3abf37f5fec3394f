from __future__ import annotations

import asyncio

import pytest
from mode.utils.queues import FlowControlEvent

from streams.fast_path.partition_queue import PartitionQueue
from tests.unit.streams.fakes import an_arrival


class Case:
    """An inbox for ten, and what it asks of whoever fills it."""

    def __init__(self) -> None:
        self.queue = PartitionQueue(10, flow_control=FlowControlEvent())
        self.asked: list[str] = []
        self._next = 0

    def take(self, count: int) -> None:
        batch = [an_arrival(self._next + more, b"a") for more in range(count)]
        self._next += count
        self.queue.put_batch(batch, when_full=self.full, again=self.again)

    def full(self) -> None:
        self.asked.append("full")

    def again(self) -> None:
        self.asked.append("again")

    async def next(self) -> int:
        return int((await self.queue.next()).record.offset)


async def test_a_batch_comes_out_in_its_order() -> None:
    case = Case()

    case.take(3)

    assert [await case.next() for _ in range(3)] == [0, 1, 2]


async def test_whoever_waits_gets_what_comes() -> None:
    case = Case()
    waiting = asyncio.create_task(case.next())
    await asyncio.sleep(0)

    case.take(2)

    assert (await waiting, await case.next()) == (0, 1)


async def test_nearly_full_it_asks_for_no_more_and_nearly_empty_again() -> None:
    case = Case()
    case.take(7)
    case.take(1)
    before = list(case.asked)

    # Of what is on its way already it takes all there is, and asks once.
    case.take(5)
    while case.queue.qsize() > 4:
        await case.next()
    held_back = list(case.asked)
    await case.next()

    assert (before, held_back, case.asked) == (["full"], ["full"], ["full", "again"])


async def test_one_that_was_never_full_asks_for_nothing() -> None:
    case = Case()

    case.take(5)
    for _ in range(5):
        await case.next()

    assert case.asked == []


async def test_what_is_thrown_into_it_comes_out_before_records() -> None:
    case = Case()
    case.take(1)
    case.queue._errors.append(RuntimeError("boom"))

    with pytest.raises(RuntimeError, match="boom"):
        await case.next()

    assert await case.next() == 0
