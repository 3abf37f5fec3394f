"""The example receivers, as a tenant starts them: real processes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.e2e.process import Process
from tests.oracles import npm_installed

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Install the libraries of the Node example; return whether there is Node at all."""
    return npm_installed(FOLDER / "node")


class Example(Process):
    """One example, running; an asynchronous context manager."""

    def __init__(
        self,
        name: str,
        *,
        port: int,
        keys: Sequence[bytes],
        secrets: Sequence[str],
        folder: Path,
        node_options: str = "",
    ) -> None:
        """Prepare; keys and what it has seen are files of the folder."""
        files = [folder / f"key-{number}.pem" for number in range(len(keys))]
        for file, key in zip(files, keys, strict=True):
            file.write_bytes(key)
        env = {
            "SIGNING_SECRETS": " ".join(secrets),
            "PRIVATE_KEYS": " ".join(map(str, files)),
            "PORT": str(port),
            "SEEN": str(folder / "seen.db"),
            "NODE_OPTIONS": node_options,
        }
        super().__init__(name, env, folder, *EXAMPLES[name])
        self.port = port

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self._listening()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        # By force: what it has accepted must be safe even so.
        if self.returncode is None:
            self.kill()
        await self.ended()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def handled(self) -> list[str]:
        """Return the ids of the events that it printed."""
        words = [line.split() for line in self.lines]
        return [one[0] for one in words if len(one) > 1 and one[1] == "order.paid"]

    async def _listening(self) -> None:
        async with asyncio.timeout(_READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    assert self.returncode is None, self.tail()
                    # Nothing tells when another process listens; so it is asked again.
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                return
