"""Several workers behind one command, measured together."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

from benchmarks.process import Measured, cpu_s_of, page_at
from hookseal.errors import HooksealError
from hookseal.kafka.broker.ports import HOST, free_ports
from hookseal.kafka.broker.process import last_lines

if TYPE_CHECKING:
    from collections.abc import Callable


LOOK_EVERY_S = 0.04
_T = TypeVar("_T")


class Team(Measured):
    """A command and what it started, together."""

    @property
    def pid(self) -> int:
        """The command's process."""
        return int(self._process.pid)

    def count_in(self) -> None:
        """Count what it has started by now."""
        self._all = [self._process, *self._process.children(recursive=True)]

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, of all."""
        return sum(self._each(cpu_s_of))

    @property
    def rss_bytes(self) -> int:
        """Bytes of memory that are resident now; what they share counts for each."""
        return sum(self._each(_rss_bytes))

    def _each(self, figure: Callable[[psutil.Process], _T]) -> list[_T]:
        try:
            return [figure(process) for process in self._all]
        except psutil.NoSuchProcess:
            raise HooksealError(
                "bench_process_ended",
                f"A worker ended; it said last: {last_lines(self._child.log)}",
            ) from None


def _rss_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def command(processes: int) -> list[str]:
    """Return the command that runs so many workers, of this very environment."""
    program = str(Path(sys.executable).with_name("hookseal"))
    return [program, "worker", "--processes", str(processes)]


def is_ready(port: int) -> bool:
    """Return whether a worker says that it has its partitions and works on them."""
    text = page_at(port, "/readyz")
    return text is not None and json.loads(text).get("status") == "ok"


def ports_in_a_row(count: int) -> list[int]:
    """Return ports that nothing listens on, one after the other."""
    while True:
        (first,) = free_ports(1)
        ports = list(range(first, first + count))
        with ExitStack() as held:
            try:
                for port in ports:
                    held.enter_context(socket.socket()).bind((HOST, port))
            except OSError:
                continue
            return ports
