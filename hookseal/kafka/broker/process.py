"""A child process that writes a log and ends with this process."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

from hookseal.errors import BrokerError
from hookseal.kafka.broker.bound import bound_to_us
from hookseal.kafka.broker.ports import PORT_TAKEN, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_LINES_SHOWN = 20
_TAIL_BYTES = 16 * 1024
_PORT_TAKEN_WORDS = ("Address already in use", "AddrInUse", "BindException")


class Child:
    """One program whose output is appended to `log`. It can be started again after its end.

    `command` is an absolute path and its arguments.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self._command = command
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the current or last run."""
        if self._process is None:
            raise BrokerError("broker_not_started", "Start the broker's process first.")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status of the last run, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the program; raise `broker_not_started` if it cannot be run at all."""
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - we composed the command
                    bound_to_us(self._command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._env,
                    # Ctrl-C in a terminal signals a whole process group. The broker must
                    # outlive the workers, which still commit when they stop.
                    process_group=0,
                )
        except OSError as error:
            raise BrokerError(
                "broker_not_started", f"{self._command[0]} cannot be run: {error.strerror}."
            ) from error

    def wait_ready(self, ready: Callable[[], bool], *, timeout_s: float, advice: str) -> None:
        """Poll until `ready`, at most `timeout_s` seconds.

        Then raises `broker_port_taken`, or `broker_not_started` with advice and the end of the log.
        """
        if wait_until(lambda: not self.alive or ready(), timeout_s) and self.alive:
            return
        status = f"did not answer within {timeout_s:.0f} s"
        if not self.alive:
            status = f"ended with status {self.status}"
        end = _tail(self.log)
        taken = any(words in end for words in _PORT_TAKEN_WORDS)
        raise BrokerError(
            PORT_TAKEN if taken else "broker_not_started",
            f"The broker {status}. {advice} The last lines of its log:\n{last_lines(self.log)}",
        )

    def ask_to_stop(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, *, grace_s: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace_s` seconds; return when the program ended."""
        self.ask_to_stop()
        if self._process is not None:
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Send SIGKILL; return when the program ended."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def last_lines(log: Path) -> str:
    """Return the last lines of a log without the frames of Java stack traces; empty if missing."""
    lines = [line for line in _tail(log).splitlines() if line.strip() and line[0] != "\t"]
    return "\n".join(lines[-_LINES_SHOWN:])


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
