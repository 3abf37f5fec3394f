"""Several workers behind one command: started, told to end, and started again.

A service manager does that for one process and not for a number of them; what there is for
Python (honcho, circus) either ends all when one ends, or brings a server to be talked to.
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

__all__ = ["RestartPolicy", "Supervisor"]

_log = structlog.stdlib.get_logger("hookseal.worker")


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """What is done about a worker that ends by itself.

    Attributes:
        backoff: The waits before it is started again, by how often it ended in a row.
        settled_s: Seconds from its start after which an end is the first one again.
        quick_s: An end sooner than that after the start looks like a fault that starting
            again does not mend: a setting, a topic that is missing.
        quick_max: So many of these in a row are enough.
    """

    backoff: Backoff = field(default_factory=lambda: Backoff(cap_s=30.0, jitter=0.0))
    settled_s: float = 60.0
    quick_s: float = 10.0
    quick_max: int = 3


class Supervisor:
    """Workers that are there as long as this process is, and no longer."""

    def __init__(
        self,
        command: Sequence[str],
        environments: Sequence[Mapping[str, str]],
        patience: RestartPolicy | None = None,
    ) -> None:
        """Prepare.

        Args:
            command: What each of them runs, an absolute path and its arguments.
            environments: The whole environment of each.
            patience: What is done about one that ends by itself.
        """
        self._command = list(command)
        self._environments = environments
        self._patience = patience or RestartPolicy()
        self._running: dict[int, Process] = {}
        self._stopping = asyncio.Event()
        self._given_up: int | None = None

    async def run(self) -> int:
        """Run them until they are told to end, or one cannot be kept running.

        SIGTERM and SIGINT tell each of them to end, each time they come. From then on none
        is started again; how long they may take is for the sender to say, whose SIGKILL ends
        them with this process.

        Returns:
            0 if all ended as they were told; otherwise the exit status of one that did not,
            as a shell has it.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._tell_all)
        statuses = await asyncio.gather(*map(self._keep, range(len(self._environments))))
        if self._given_up is not None:
            return self._given_up
        return next((status for status in statuses if status), 0)

    def _tell_all(self) -> None:
        self._stopping.set()
        for process in self._running.values():
            _tell(process)

    async def _keep(self, worker: int) -> int:
        """Keep one running; return the exit status of its last run."""
        loop, patience = asyncio.get_running_loop(), self._patience
        ends = quick = 0
        while not self._stopping.is_set():
            began = loop.time()
            status = await self._run(worker)
            if self._stopping.is_set():
                return _status_of_a_stop(status)
            ran_s = loop.time() - began
            ends = ends + 1 if ran_s < patience.settled_s else 1
            quick = quick + 1 if ran_s < patience.quick_s else 0
            ended = {"worker": worker, "code": _code_of(status), "uptime_s": round(ran_s, 3)}
            if quick >= patience.quick_max:
                _log.critical("worker.restart_limit_reached", **ended, ends=quick)
                self._given_up = _exit_status(status)
                self._tell_all()
                return self._given_up
            wait_s = patience.backoff.delay_after(ends, draw=0.5)
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
                # Ctrl-C goes to all of a terminal's group: they would get it twice.
                start_new_session=True,
            )
        except OSError:
            # No memory for it, for instance: the next time there may be some.
            return os.EX_OSERR
        _log.info("worker.process_started", worker=worker, pid=process.pid)
        self._running[worker] = process
        if self._stopping.is_set():
            # Told while it was started.
            _tell(process)
        try:
            return await process.wait()
        finally:
            del self._running[worker]


def _tell(process: Process) -> None:
    with suppress(ProcessLookupError):
        # Whatever came: SIGINT would end one that does not listen yet with a traceback.
        process.terminate()


def _status_of_a_stop(returncode: int) -> int:
    # One that did not listen yet is ended by the signal itself, with nothing in hand.
    return 0 if returncode == -signal.SIGTERM else _exit_status(returncode)


def _exit_status(returncode: int) -> int:
    """Return what a shell makes of it: 128 and the number of a signal."""
    return 128 - returncode if returncode < 0 else returncode


def _code_of(returncode: int) -> str:
    """Return how a process ended, for the log: `exit_78`, `sigkill`."""
    if returncode >= 0:
        return f"exit_{returncode}"
    try:
        return signal.Signals(-returncode).name.lower()
    except ValueError:
        return f"signal_{-returncode}"
