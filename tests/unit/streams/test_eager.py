from __future__ import annotations

import asyncio

import pytest

from streams.eager import begin


class TestBegin:
    async def test_what_never_waits_is_done_at_once(self) -> None:
        done = []

        async def work() -> None:
            done.append(1)

        assert begin(work()) is None
        assert done == [1]

    async def test_what_waits_goes_on_in_a_task(self) -> None:
        steps, proceed = [], asyncio.Event()

        async def work() -> None:
            steps.append("begun")
            await proceed.wait()
            await asyncio.sleep(0)
            steps.append("ended")

        rest = begin(work())
        assert rest is not None
        task = asyncio.create_task(rest)
        assert steps == ["begun"]
        proceed.set()
        await task

        assert steps == ["begun", "ended"]

    async def test_what_fails_before_its_first_wait_fails_at_once(self) -> None:
        async def work() -> None:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError, match="boom"):
            begin(work())

    async def test_what_fails_later_fails_its_task(self) -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            raise RuntimeError("boom")

        rest = begin(work())
        assert rest is not None

        with pytest.raises(RuntimeError, match="boom"):
            await rest

    async def test_a_cancelled_task_cancels_what_is_left(self) -> None:
        cancelled = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        rest = begin(work())
        assert rest is not None
        task = asyncio.create_task(rest)
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert cancelled.is_set()
