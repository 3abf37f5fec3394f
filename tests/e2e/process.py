"""Real processes of ours, whose logs are read as they come."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.e2e.warm_start import WarmProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BIN", "Process"]

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WARM = {str(BIN / "faust"), str(BIN / "hookseal")}
LINE_BYTES = 1 << 20
LIMITED = ("sh", "-c", 'ulimit -n {} && exec "$0" "$@"')


class Process:
    """One process; its log is read as it comes."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path, *command: str) -> None:
        self.name = name
        self.lines: list[str] = []
        self._command = command
        self._env = {**os.environ, **env, "HOOKSEAL_LOG_FORMAT": "json"}
        self._env["HOOKSEAL_DATA_DIR"] = str(folder / name)
        self._changed = asyncio.Condition()
        self.descriptors: int | None = None
        """Files it may open; None = as many as this process. Set before `start`."""

    async def start(self) -> Self:
        self._process = await self._run()
        self._reading = asyncio.create_task(self._read())
        return self

    async def _run(self) -> asyncio.subprocess.Process | WarmProcess:
        if self._command[0] in WARM:
            return await WarmProcess.start(
                self._command,
                cwd=REPOSITORY,
                env=self._env,
                descriptors=self.descriptors,
                limit=LINE_BYTES,
            )
        # Both limits, as `ulimit -n` sets them: the process cannot raise its own again.
        limited = () if self.descriptors is None else LIMITED
        return await asyncio.create_subprocess_exec(
            *(part.format(self.descriptors) for part in limited),
            *self._command,
            cwd=REPOSITORY,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the structured log lines of that name."""
        return [
            line
            for text in self.lines
            if text.startswith("{") and (line := json.loads(text)).get("event") == name
        ]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until the condition holds; it is looked at after each line of the log."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(
                    lambda: condition() or self._process.returncode is not None
                )
        except TimeoutError:
            raise AssertionError(f"{self.name} did not get there:\n{self.tail()}") from None
        assert condition(), f"{self.name} ended with {self.returncode}:\n{self.tail()}"

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, timeout_s: float = 60) -> int:
        """Wait for the end of the process; return its exit status."""
        async with asyncio.timeout(timeout_s):
            status = await self._process.wait()
            await self._reading
        return status

    async def stop(self) -> None:
        """End it by whatever it takes."""
        if self._process.returncode is None:
            self.terminate()
            try:
                await self.ended(30)
            except TimeoutError:
                self.kill()
        await self.ended()

    def tail(self, count: int = 60) -> str:
        return "\n".join(self.lines[-count:])

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            async with self._changed:
                line = raw.decode("utf-8", "replace").rstrip()
                # Shown by pytest when the test fails.
                print(f"[{self.name}] {line}")  # noqa: T201
                self.lines.append(line)
                self._changed.notify_all()
        await self._process.wait()
        async with self._changed:
            self._changed.notify_all()
