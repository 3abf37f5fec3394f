"""A crew of real processes, which run a small program in place of a worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.process import Process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    Start = Callable[..., Coroutine[Any, Any, Process]]

PARENT = """
import asyncio, json, logging.config, pathlib, sys
from hookseal.cli.supervisor import Supervisor, RestartPolicy
from hookseal.domain.backoff import Backoff
from hookseal.telemetry.logs import logging_config

logging.config.dictConfig(logging_config("INFO", "json"))
environments, backoff, patience = json.loads(pathlib.Path(sys.argv[1]).read_text())
policy = RestartPolicy(Backoff(jitter=0.0, **backoff), **patience)
crew = Supervisor(sys.argv[2:], environments, policy)
sys.exit(asyncio.run(crew.run()))
"""

# Says what becomes of it, and ends when it was told to as often as it takes.
WORKER = """
import os, signal, sys

signals = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
name, left = os.environ["NAME"], int(os.environ.get("TIMES", 1))
print(name, "started", os.getpid(), flush=True)
while left:
    told = signal.sigwait(signals) == signal.SIGTERM
    print(name, "told" if told else "interrupted", flush=True)
    left -= told
sys.exit(int(os.environ.get("STATUS", 0)))
"""
# Does not listen for signals yet.
DEAF = 'import os, time; print(os.environ["NAME"], "started", flush=True); time.sleep(3600)'
ENDS = 'import os, sys; sys.exit(int(os.environ["STATUS"]))'
ENDS_OR_STAYS = f'import os\nif "STATUS" in os.environ: {ENDS}\n{WORKER}'

A, B = {"NAME": "a"}, {"NAME": "b"}
SOON = {"base_s": 0.01, "cap_s": 0.04}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(
            *environments: dict[str, str],
            program: str = WORKER,
            backoff: dict[str, float] = SOON,
            **patience: float,
        ) -> Process:
            given = tmp_path / "given.json"
            given.write_text(json.dumps([environments, backoff, patience]))
            command = (sys.executable, "-c", PARENT, str(given), sys.executable, "-c", program)
            crew = await Process("crew", {}, tmp_path, *command).start()
            stack.push_async_callback(crew.stop)
            return crew

        yield start


def pids(crew: Process, name: str) -> list[int]:
    """Return the processes that a worker was, first to last."""
    return [int(line.split()[2]) for line in list(crew.lines) if line.startswith(f"{name} started")]


async def up(crew: Process, *names: str) -> None:
    """Wait until each of them runs."""
    await crew.until(lambda: all(pids(crew, name) for name in names))


def codes(crew: Process) -> list[str]:
    """Return how workers ended by themselves."""
    return [line["code"] for line in crew.events("worker.process_exited")]


class TestRunning:
    async def test_each_worker_has_its_own_environment_and_is_told_of(self, start: Start) -> None:
        crew = await start(A, B, {"NAME": "c"})

        await up(crew, "a", "b", "c")

        told_of = {line["worker"]: line["pid"] for line in crew.events("worker.process_started")}
        assert told_of == {number: pids(crew, name)[0] for number, name in enumerate("abc")}

    async def test_ctrl_c_in_a_terminal_does_not_reach_the_workers_themselves(
        self, start: Start
    ) -> None:
        crew = await start(A, B)
        await up(crew, "a", "b")

        sessions = {os.getsid(pids(crew, name)[0]) for name in "ab"}

        assert sessions == {pids(crew, "a")[0], pids(crew, "b")[0]}

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of this end")
    async def test_no_worker_outlives_it(self, start: Start) -> None:
        crew = await start(A, B)
        await up(crew, "a", "b")

        crew.kill()
        # Its output has an end only when nobody is left who could write to it.
        assert await crew.ended() == -signal.SIGKILL

        assert "a told" not in crew.lines


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_each_worker_is_told_once(self, start: Start, number: signal.Signals) -> None:
        crew = await start(A, B)
        await up(crew, "a", "b")

        os.kill(crew.pid, number)

        assert await crew.ended() == 0
        said = [line for line in crew.lines if line.endswith(("told", "interrupted"))]
        assert sorted(said) == ["a told", "b told"]
        assert codes(crew) == []

    async def test_it_waits_for_the_last_and_tells_it_again_when_it_is_told_again(
        self, start: Start
    ) -> None:
        crew = await start(A, {**B, "TIMES": "2"})
        await up(crew, "a", "b")
        crew.terminate()
        await crew.until(lambda: {"a told", "b told"} <= set(crew.lines))
        assert crew.returncode is None

        crew.terminate()

        assert await crew.ended() == 0
        assert crew.lines.count("b told") == 2

    async def test_a_worker_that_fails_to_end_well_gives_its_status(self, start: Start) -> None:
        crew = await start(A, {**B, "STATUS": "3"})
        await up(crew, "a", "b")

        crew.terminate()

        assert await crew.ended() == 3

    async def test_a_worker_that_is_killed_meanwhile_counts_as_in_a_shell(
        self, start: Start
    ) -> None:
        crew = await start(A, {**B, "TIMES": "2"})
        await up(crew, "a", "b")
        crew.terminate()
        await crew.until(lambda: "b told" in crew.lines)

        os.kill(pids(crew, "b")[0], signal.SIGKILL)

        assert await crew.ended() == 128 + signal.SIGKILL

    async def test_a_worker_that_does_not_listen_yet_ends_well(self, start: Start) -> None:
        crew = await start(A, B, program=DEAF)
        await crew.until(lambda: {"a started", "b started"} <= set(crew.lines))

        crew.terminate()

        assert await crew.ended() == 0

    async def test_no_worker_is_started_again(self, start: Start) -> None:
        crew = await start(A, B, backoff={"base_s": 3600.0, "cap_s": 3600.0})
        await up(crew, "a", "b")
        os.kill(pids(crew, "b")[0], signal.SIGKILL)
        await crew.until(lambda: codes(crew) == ["sigkill"])

        crew.terminate()

        assert await crew.ended() == 0
        assert len(pids(crew, "b")) == 1


class TestRestart:
    async def test_a_worker_that_was_killed_comes_back_and_the_other_stays(
        self, start: Start
    ) -> None:
        crew = await start(A, B)
        await up(crew, "a", "b")

        os.kill(pids(crew, "b")[0], signal.SIGKILL)
        await crew.until(lambda: len(pids(crew, "b")) == 2)

        assert codes(crew) == ["sigkill"]
        assert len(pids(crew, "a")) == 1

    async def test_a_worker_that_alone_was_told_to_end_comes_back(self, start: Start) -> None:
        crew = await start(A, B)
        await up(crew, "a", "b")

        os.kill(pids(crew, "a")[0], signal.SIGTERM)
        await crew.until(lambda: len(pids(crew, "a")) == 2)

        assert codes(crew) == ["exit_0"]
        assert "b told" not in crew.lines

    async def test_the_waits_grow_up_to_their_bound(self, start: Start) -> None:
        crew = await start({"STATUS": "1"}, program=ENDS, quick_s=0.0)

        await crew.until(lambda: len(codes(crew)) >= 4)

        waits = [line["restart_delay_s"] for line in crew.events("worker.process_exited")]
        assert waits[:4] == [0.01, 0.02, 0.04, 0.04]
        assert set(codes(crew)) == {"exit_1"}

    async def test_the_waits_begin_anew_for_one_that_had_settled(self, start: Start) -> None:
        crew = await start({"STATUS": "1"}, program=ENDS, quick_s=0.0, stable_s=0.0)

        await crew.until(lambda: len(codes(crew)) >= 3)

        waits = {line["restart_delay_s"] for line in crew.events("worker.process_exited")}
        assert waits == {0.01}

    async def test_one_that_ends_at_once_again_and_again_ends_them_all_with_its_status(
        self, start: Start
    ) -> None:
        crew = await start(A, {**B, "STATUS": "78"}, program=ENDS_OR_STAYS, quick_max=6)

        status = await crew.ended()

        (line,) = crew.events("worker.restart_limit_reached")
        assert status == 78
        assert (line["worker"], line["code"], line["ends"]) == (1, "exit_78", 6)
        assert codes(crew) == ["exit_78"] * 5
        assert crew.lines.count("a told") <= 1

    async def test_one_that_cannot_be_started_at_all_counts_as_ended(self, start: Start) -> None:
        # More than the kernel takes for one variable.
        crew = await start({**A, "MUCH": "x" * 200_000}, quick_max=2)

        assert await crew.ended() == os.EX_OSERR
        assert codes(crew) == ["exit_71"]
