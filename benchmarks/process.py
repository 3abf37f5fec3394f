"""A process that is measured: what it uses, and what it last said if it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from hookseal.errors import HooksealError
from hookseal.kafka.broker.ports import HOST
from hookseal.kafka.broker.process import Child, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TIMEOUT_S = 5.0


def page_at(port: int, path: str = "/") -> str | None:
    """Return the page, or None while nobody serves it.

    Not through `urllib`: a proxy of the environment would be asked for it.
    """
    with closing(HTTPConnection(HOST, port, timeout=_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return None


_STOP_GRACE_S = 20.0
_STALLED_S = 90.0


def faust(module: str) -> list[str]:
    """Return the command that runs a Faust worker, of this very environment."""
    return [str(Path(sys.executable).with_name("faust")), "-A", module, "worker"]


def cpu_s_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process so far, user and system, all threads."""
    times = process.cpu_times()
    return float(times.user + times.system)


def figures_of(module: str, *arguments: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Run a program of ours to its end; return the figures that it printed as JSON."""
    run = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-m", module, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        raise HooksealError(
            "bench_process_ended", f"{module} ended with {run.returncode}: {run.stderr}"
        )
    figures: dict[str, Any] = json.loads(run.stdout)
    return figures


class Measured:
    """A child process; a context manager, at whose end it has ended."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._child = Child(command, log=log, env=env)

    def __enter__(self) -> Self:
        self._child.start()
        self._process = psutil.Process(self._child.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop(grace_s=_STOP_GRACE_S)

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, all threads."""
        return cpu_s_of(self._process)

    @property
    def rss_bytes(self) -> int:
        """Bytes of memory that are resident now."""
        return int(self._process.memory_info().rss)

    def watch(self, progress: Callable[[], float], *, every_s: float) -> Iterator[float]:
        """Yield the progress again and again; whoever iterates decides when it is enough.

        Args:
            progress: Asked each time; any number that changes while something happens.
            every_s: Seconds between two looks.
        """
        seen, since = -1.0, time.monotonic()
        while True:
            self._check_alive()
            now = progress()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > _STALLED_S:
                raise HooksealError(
                    "bench_stalled",
                    f"Nothing happened for {_STALLED_S:.0f} s; the process said last: "
                    f"{last_lines(self._child.log)}",
                )
            yield now
            time.sleep(every_s)

    def reach(self, progress: Callable[[], float], goal: float, *, every_s: float) -> int:
        """Wait until the progress has come so far; return how far it is then."""
        return next(int(now) for now in self.watch(progress, every_s=every_s) if now >= goal)

    def _check_alive(self) -> None:
        if not self._child.alive:
            raise HooksealError(
                "bench_process_ended",
                f"The process ended with {self._child.status}; it said last: "
                f"{last_lines(self._child.log)}",
            )
