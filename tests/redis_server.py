"""A real Redis of a test's own: Debian's `redis-server`, or a container where Docker runs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest

__all__ = ["RedisServer"]

_START_S = 20.0


class RedisServer:
    """Writes an append-only file, so that a kill loses nothing; a context manager."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._container: Any = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        program = shutil.which("redis-server")
        if program is not None:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
            self.start()
        elif Path("/var/run/docker.sock").exists():
            self._in_a_container()
        else:
            pytest.skip("there is neither a redis-server nor a Docker engine")
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            self._container.stop()
        elif self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        """Start it, with what is in its folder; return once it answers."""
        program = shutil.which("redis-server")
        assert program is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "yes"]
        command += ["--appendfsync", "everysec", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline, "redis-server does not answer"

    def kill(self) -> None:
        """End it without a warning."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Have it answer nobody, though it is there."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def _in_a_container(self) -> None:
        from testcontainers.redis import RedisContainer  # noqa: PLC0415 - where Docker runs

        self._container = RedisContainer("redis:7.4").with_command(
            "redis-server --save '' --appendonly yes"
        )
        self._container.start()
        self.port = int(self._container.get_exposed_port(6379))
