"""Replays of one process take turns by tenant."""

from __future__ import annotations

import asyncio

import pytest

from hookseal.dead_letters.replay.replayer import ReplayTurns
from hookseal.errors import ConflictError

LOOPS = 8


class Replays:
    """Replays that end when the test says so; knows in which order they had their turns."""

    def __init__(self) -> None:
        self.turns = ReplayTurns()
        self.order: list[str] = []
        self._step = asyncio.Condition()
        self._may_end = 0

    async def replay(self, customer_id: str, partition: int = 0) -> None:
        async with self.turns.turn(partition, customer_id, None):
            self.order.append(customer_id)
            number = len(self.order)
            async with self._step:
                self._step.notify_all()
                await self._step.wait_for(lambda: self._may_end >= number)

    async def loop(self, customer_id: str) -> None:
        while True:
            await self.replay(customer_id)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(5), self._step:
            await self._step.wait_for(lambda: len(self.order) >= count)

    async def reach(self, turns: int) -> None:
        """Let replays end until so many had their turn."""
        async with asyncio.timeout(5), self._step:
            for count in range(1, turns + 1):
                await self._step.wait_for(lambda: len(self.order) >= count)  # noqa: B023
                if count < turns:
                    self._may_end = count
                    self._step.notify_all()


@pytest.fixture
async def replays() -> Replays:
    return Replays()


class TestReplayTurns:
    async def test_a_tenant_in_many_loops_delays_another_by_two_turns_at_most(
        self, replays: Replays
    ) -> None:
        loops = [asyncio.create_task(replays.loop("noisy")) for _ in range(LOOPS)]
        await replays.reach(3)
        victim = asyncio.create_task(replays.loop("quiet"))
        await asyncio.sleep(0)

        await replays.reach(12)
        for task in (*loops, victim):
            task.cancel()
        await asyncio.gather(*loops, victim, return_exceptions=True)

        # The turn under way ends, and one that was asked for before.
        behind = "".join(name[0] for name in replays.order[3:])
        assert behind.startswith("nq")
        assert "nnn" not in behind

    async def test_each_tenant_has_its_turn_however_many_there_are(self, replays: Replays) -> None:
        names = ["a", "b", "c", "d"]
        tasks = [asyncio.create_task(replays.loop(name)) for name in names for _ in range(LOOPS)]

        await replays.reach(40)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        # The first of all had the partition before anybody waited.
        counts = [replays.order[1:].count(name) for name in names]
        assert max(counts) - min(counts) <= 1

    async def test_partitions_do_not_wait_for_each_other(self, replays: Replays) -> None:
        tasks = [asyncio.create_task(replays.replay("a", partition)) for partition in (0, 1)]

        # Neither may end yet.
        await replays.until_begun(2)

        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_whoever_waited_too_long_is_told_and_takes_no_turn(self) -> None:
        turns = ReplayTurns()
        async with turns.turn(0, "a", None):
            with pytest.raises(ConflictError, match="replay_busy"):
                async with turns.turn(0, "b", 0):
                    raise AssertionError

        async with turns.turn(0, "c", 0):
            pass

    async def test_the_wait_for_other_processes_is_what_is_left(self) -> None:
        now = [0.0]
        turns = ReplayTurns(now=lambda: now[0])

        async def second() -> float | None:
            async with turns.turn(0, "b", 10.0) as left_s:
                return left_s

        async with turns.turn(0, "a", None):
            waiting = asyncio.create_task(second())
            await asyncio.sleep(0)
            now[0] = 4.0

        assert await waiting == 6.0
