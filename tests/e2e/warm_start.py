"""Starts our programs from a process that has imported them already.

A worker spends a second of CPU time on imports, and the tests start some hundreds of processes.
`python -m tests.e2e.warm_start DESCRIPTOR` imports once, then forks: the child gets the arguments,
environment, working directory and limits of the program it plays, and runs the same entry point.
It is a process of its own in every respect: memory, signals, exit status.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["WarmProcess"]

_MESSAGE_BYTES = 1 << 20


class WarmProcess:
    """A forked program; what `tests.e2e.process.Process` uses of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, ending: socket.socket) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = asyncio.ensure_future(self._watch(ending))

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        descriptors: int | None,
        limit: int,
    ) -> WarmProcess:
        """Run a Python script, `command[0]`, with its arguments."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read_end, write_end = os.pipe()
        asked = {"argv": list(command), "env": dict(env), "cwd": str(cwd), "files": descriptors}
        message = json.dumps(asked).encode()
        # Blocking, and short: a datagram on the local machine.
        socket.send_fds(_server(), [message], [theirs.fileno(), write_end])
        theirs.close()
        os.close(write_end)
        ours.settimeout(0)
        pid = int(await loop.sock_recv(ours, _MESSAGE_BYTES))
        stdout = asyncio.StreamReader(limit=limit)
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(read_end, "rb", 0)
        )
        return cls(pid, stdout, ours)

    async def _watch(self, ending: socket.socket) -> None:
        with ending:
            status = await asyncio.get_running_loop().sock_recv(ending, _MESSAGE_BYTES)
        # Nothing: the server was killed, and its children with it.
        self.returncode = int(status) if status else -signal.SIGKILL

    async def wait(self) -> int:
        """Wait for its end; return the exit status, negative for a signal."""
        await asyncio.shield(self._ended)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _server() -> socket.socket:
    """Return the connection to the server of this process, which starts with the first call."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )

    def stop() -> None:
        ours.close()
        server.wait()

    atexit.register(stop)
    return ours


def _serve(requests: socket.socket) -> None:
    """Fork a child for each message; tell its pid, and later its exit status."""
    for module in ("hookseal.api.server", "hookseal.cli.app", "streams.topology"):
        importlib.import_module(module)

    children: dict[int, socket.socket] = {}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    while True:
        ready, _, _ = select.select([requests.fileno(), reading], [], [])
        if reading in ready:
            os.read(reading, _MESSAGE_BYTES)
            _report_ended(children)
        if requests.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(requests, _MESSAGE_BYTES, 2)
            if not message:
                return
            ending = socket.socket(fileno=descriptors[0])
            pid = os.fork()
            if pid == 0:
                _become(json.loads(message), stdout=descriptors[1])
            os.close(descriptors[1])
            children[pid] = ending
            _tell(ending, pid)


def _report_ended(children: dict[int, socket.socket]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        with children.pop(pid) as ending:
            _tell(ending, os.waitstatus_to_exitcode(status))


def _tell(test: socket.socket, number: int) -> None:
    with suppress(OSError):  # The test is over.
        test.send(str(number).encode())


def _become(asked: dict[str, Any], *, stdout: int) -> NoReturn:
    """Be the program: its output, limits, environment and arguments. Never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(stdout, 1)
        os.dup2(stdout, 2)
        # As in a program that was executed, no descriptor of ours is there.
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if asked["files"] is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (asked["files"], asked["files"]))
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = asked["argv"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        # What an interpreter does at its end: other threads, exit handlers, open files.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        _serve(connection)
