"""The example receivers, as a tenant starts them: real processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.oracles import npm_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["EXAMPLES", "Example", "node_is_there"]

FOLDER = Path(__file__).parents[1] / "receiver" / "examples"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "aiohttp": (sys.executable, str(FOLDER / "python" / "aiohttp_receiver.py")),
    "fastapi": (sys.executable, str(FOLDER / "python" / "fastapi_receiver.py")),
    "flask": (sys.executable, str(FOLDER / "python" / "flask_receiver.py")),
    "node": ("node", str(FOLDER / "node" / "receiver.mjs")),
}
_READY_S = 30


def node_is_there() -> bool:
    """Install the libraries of the Node example; skip, or fail, where there is no Node."""
    return npm_installed(FOLDER / "node")


class Example:
    """One example, running; an asynchronous context manager.

    Attributes:
        lines: What it printed so far.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        keys: Sequence[bytes],
        secrets: Sequence[str],
        folder: Path,
        node_options: str = "",
    ) -> None:
        """Prepare; keys and what it has seen are files of the folder."""
        self.lines: list[str] = []
        self.port = port
        self._command = command
        files = [folder / f"key-{number}.pem" for number in range(len(keys))]
        for file, key in zip(files, keys, strict=True):
            file.write_bytes(key)
        self._env = {
            "PATH": os.environ["PATH"],
            "SIGNING_SECRETS": " ".join(secrets),
            "PRIVATE_KEYS": " ".join(map(str, files)),
            "PORT": str(port),
            "SEEN": str(folder / "seen.db"),
            "NODE_OPTIONS": node_options,
        }
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        self._reading = asyncio.create_task(self._read())
        try:
            await self._listening()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def events(self) -> list[str]:
        """Return the ids of the events that it handled."""
        words = [line.split() for line in self.lines]
        return [one[0] for one in words if len(one) > 1 and one[1] == "order.paid"]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until the condition holds; it is looked at after each line."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            pytest.fail(f"{self._command[-1]} did not get there:\n" + "\n".join(self.lines))

    async def _listening(self) -> None:
        async with asyncio.timeout(_READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    if self._process.returncode is not None:
                        await self._reading
                        pytest.fail("it ended:\n" + "\n".join(self.lines))
                    # Nothing tells when another process listens; so it is asked again.
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            async with self._changed:
                line = raw.decode("utf-8", "replace").rstrip()
                # Shown by pytest when the test fails.
                print(f"[{self._command[-1]}] {line}")  # noqa: T201
                self.lines.append(line)
                self._changed.notify_all()
