"""Supervises several worker processes: starts them, stops them, restarts those that end.

Process managers for Python do not fit: honcho stops all processes when one ends, and circus needs
a server of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from hookseal.domain.backoff import Backoff
from hookseal.kafka.broker.bound import bound_to_us

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence

_log = structlog.stdlib.get_logger("hookseal.worker")


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a worker that ends by itself is restarted.

    Attributes:
        backoff: Waits before the restarts, by the number of ends in a row.
        stable_s: A worker that ran for so many seconds starts to count from one again.
        quick_s: An end within so many seconds looks like a wrong setting or a missing topic,
            which a restart does not fix.
        quick_max: The supervisor gives up after so many quick ends in a row.
    """

    backoff: Backoff = field(default_factory=lambda: Backoff(cap_s=30.0, jitter=0.0))
    stable_s: float = 60.0
    quick_s: float = 10.0
    quick_max: int = 3


class Supervisor:
    """Runs one worker per environment; no worker outlives this process."""

    def __init__(
        self,
        command: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        policy: RestartPolicy | None = None,
    ) -> None:
        """Run `command`, an absolute path with arguments, in each of these whole environments."""
        self._command = list(command)
        self._environments = environments
        self._policy = policy or RestartPolicy()
        self._running: dict[int, Process] = {}
        self._stopping = asyncio.Event()
        self._given_up: int | None = None

    async def run(self) -> int:
        """Run the workers until SIGTERM or SIGINT, or until the supervisor gives up on one.

        Each signal is forwarded to each worker. Workers may take as long as they need: a SIGKILL
        of this process kills them too.

        Returns:
            0 if all workers stopped as told, otherwise the exit status of one that did not, as in
            a shell.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_all)
        statuses = await asyncio.gather(*map(self._supervise, range(len(self._environments))))
        if self._given_up is not None:
            return self._given_up
        return next((status for status in statuses if status), 0)

    def _stop_all(self) -> None:
        self._stopping.set()
        for process in self._running.values():
            _terminate(process)

    async def _supervise(self, worker: int) -> int:
        """Restart one worker until the end; return the exit status of its last run."""
        loop, policy = asyncio.get_running_loop(), self._policy
        ends = quick = 0
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._run(worker)
            if self._stopping.is_set():
                # SIGTERM kills a worker that has no handler yet, and no event either.
                return 0 if status == -signal.SIGTERM else _exit_status(status)
            ran_s = loop.time() - began
            ends = ends + 1 if ran_s < policy.stable_s else 1
            quick = quick + 1 if ran_s < policy.quick_s else 0
            ended = {"worker": worker, "code": _code_of(status), "uptime_s": round(ran_s, 3)}
            if quick >= policy.quick_max:
                _log.critical("worker.restart_limit_reached", **ended, ends=quick)
                self._given_up = _exit_status(status)
                self._stop_all()
                return self._given_up
            wait_s = policy.backoff.delay_after(ends, draw=0.5)
            _log.warning("worker.process_exited", **ended, restart_delay_s=wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
        return 0

    async def _run(self, worker: int) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *bound_to_us(self._command),
                env=self._environments[worker],
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C reaches the whole process group: workers would get it twice.
                start_new_session=True,
            )
        except OSError:
            # For example no memory: a later attempt may succeed.
            return os.EX_OSERR
        _log.info("worker.process_started", worker=worker, pid=process.pid)
        self._running[worker] = process
        if self._stopping.is_set():
            # The signal came while the worker started.
            _terminate(process)
        try:
            return await process.wait()
        finally:
            del self._running[worker]


def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        # SIGTERM for SIGINT too: without a handler yet, SIGINT ends Python with a traceback.
        process.terminate()


def _exit_status(returncode: int) -> int:
    """Return the exit status as in a shell: 128 plus the number of a signal."""
    return 128 - returncode if returncode < 0 else returncode


def _code_of(returncode: int) -> str:
    """Return how a process ended, for the log: `exit_78`, `sigkill`."""
    if returncode >= 0:
        return f"exit_{returncode}"
    try:
        return signal.Signals(-returncode).name.lower()
    except ValueError:
        return f"signal_{-returncode}"
