from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hookseal.errors import BrokerError
from hookseal.tenants.freshness_probe import FreshnessProbe
from tests.conditions import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE_S = 10.0
AWAY = BrokerError("broker_unreachable", "Away.")
MISSING = BrokerError("topic_missing", "Missing.")


class Log:
    """A log whose end is told when the test says so, and a reader that is at the start."""

    def __init__(self, *, answers: bool = True) -> None:
        self.end = 0
        self.time = 100.0
        self.error: BrokerError | None = None
        self.questions = 0
        self.answer = asyncio.Event()
        if answers:
            self.answer.set()
        self.positions = {0: 0}
        self.heard: list[str | None] = []
        self.caught_up = 0
        self.catch_up = FreshnessProbe(
            self.ask,
            self.positions,
            on_asked=self.hear,
            on_caught_up=self.note,
            now=lambda: self.time,
        )

    async def ask(self) -> dict[int, int]:
        self.questions += 1
        end = self.end
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return {0: end}

    def hear(self, trouble: BrokerError | None) -> None:
        self.heard.append(None if trouble is None else trouble.code)

    def note(self) -> None:
        self.caught_up += 1

    def write(self, records: int) -> None:
        self.end += records

    def read(self) -> None:
        self.positions[0] = self.end
        self.catch_up.advanced()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FreshnessProbe]:
        task = asyncio.create_task(self.catch_up.run())
        try:
            yield self.catch_up
        finally:
            task.cancel()
            await asyncio.wait((task,))


class TestSettle:
    async def test_returns_once_the_reader_is_where_the_log_ended(self) -> None:
        log = Log()
        log.write(5)
        async with log.running() as catch_up:
            settling = asyncio.create_task(catch_up.settle(PATIENCE_S))
            await until(lambda: log.heard == [None])
            assert not settling.done()

            log.read()

            assert await settling is True
            assert log.caught_up == 1

    async def test_callers_share_a_question_and_late_ones_wait_for_the_next(self) -> None:
        log = Log(answers=False)
        async with log.running() as catch_up:
            await until(lambda: log.questions == 1)
            log.write(1)
            late = [asyncio.create_task(catch_up.settle(PATIENCE_S)) for _ in range(100)]
            await asyncio.sleep(0)
            log.answer.set()
            await until(lambda: log.questions == 2)
            assert not any(task.done() for task in late)

            log.read()

            assert await asyncio.gather(*late) == [True] * 100
            assert log.questions == 2

    async def test_is_false_when_the_time_is_over_and_harms_no_other_caller(self) -> None:
        log = Log()
        log.write(1)
        async with log.running() as catch_up:
            patient = asyncio.create_task(catch_up.settle(PATIENCE_S))

            assert await catch_up.settle(0.0) is False
            log.read()

            assert await patient is True

    async def test_is_false_at_once_when_the_broker_does_not_answer(self) -> None:
        log = Log()
        log.error = AWAY
        async with log.running() as catch_up:
            assert await catch_up.settle(PATIENCE_S) is False

        assert log.heard == ["broker_unreachable"]

    async def test_is_false_when_nobody_asks_any_more(self) -> None:
        log = Log(answers=False)
        async with log.running() as catch_up:
            await until(lambda: log.questions == 1)
            settling = asyncio.create_task(catch_up.settle(PATIENCE_S))
            await asyncio.sleep(0)

        assert await settling is False


class TestAge:
    async def test_counts_from_the_question_not_from_the_answer(self) -> None:
        log = Log()
        log.write(1)
        async with log.running() as catch_up:
            await until(lambda: log.heard == [None])
            assert catch_up.age_s is None
            log.time += 3.0

            log.read()

            await until(lambda: log.caught_up == 1)
            assert catch_up.age_s == 3.0

    async def test_grows_while_the_broker_is_away(self) -> None:
        log = Log()
        async with log.running() as catch_up:
            await until(lambda: log.caught_up == 1)
            log.error = AWAY
            log.time += 60.0
            assert await catch_up.settle(PATIENCE_S) is False

            assert catch_up.age_s == 60.0

    async def test_is_small_again_after_an_outage(self) -> None:
        log = Log()
        log.error = AWAY
        async with log.running() as catch_up:
            assert await catch_up.settle(PATIENCE_S) is False
            log.error = None
            log.time += 60.0

            assert await catch_up.settle(PATIENCE_S) is True

            assert catch_up.age_s == 0.0
            assert log.heard == ["broker_unreachable", None]


class TestRun:
    async def test_ends_with_what_makes_the_log_another(self) -> None:
        log = Log()
        log.error = MISSING

        with pytest.raises(BrokerError) as caught:
            await log.catch_up.run()

        assert caught.value.code == "topic_missing"

    async def test_asks_again_by_itself(self) -> None:
        log = Log()
        async with log.running():
            await until(lambda: log.caught_up == 2)
