"""Real `hookseal api` processes, and what a client of theirs needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tests.e2e.process import BIN, Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ADMIN_KEY", "Api"]

_PATIENCE_S = 60

ADMIN_KEY = "wha_CANARYadminkeyofthetests"


class Api(Process):
    """One API process."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path, *command: str) -> None:
        super().__init__(
            name,
            {"HOOKSEAL_ADMIN_KEY": ADMIN_KEY, **env},
            folder,
            str(BIN / "hookseal"),
            *(command or ("api", "--port", "0")),
        )

    async def start(self) -> Self:
        """Return once it listens; it need not be ready."""
        await super().start()
        self._session = aiohttp.ClientSession()
        await self.until(lambda: bool(self.events("api.listening")))
        self.url = f"http://127.0.0.1:{self.events('api.listening')[0]['port']}"
        return self

    async def ready(self, timeout_s: float = 60) -> None:
        """Wait until it says that it is ready."""
        async with asyncio.timeout(timeout_s):
            while (await self.ask("GET", "/readyz"))[0] != 200:
                pass

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = ADMIN_KEY,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Return the status and the answer's JSON."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        async with self._session.request(
            method, self.url + path, json=body, headers=sent
        ) as response:
            self.retry_after = response.headers.get("Retry-After")
            text = await response.read()
            return response.status, await response.json(content_type=None) if text else None

    async def do(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Ask for what must succeed; return the answer.

        As any client would, it asks again while the answer is 503 and nothing was done: what
        is not known yet on a busy machine is known a moment later.
        """
        status, answer = await self.ask(method, path, body, **more)
        async with asyncio.timeout(_PATIENCE_S):
            while status == 503 and (method == "GET" or answer["code"] == "not_ready"):
                await asyncio.sleep(0.1)
                status, answer = await self.ask(method, path, body, **more)
        assert status < 300, (method, path, status, answer)
        return answer

    async def until_unavailable(self, *asked: Any, **more: Any) -> None:
        """Ask until the answer is 503, which must come and must say when to try again."""
        await self._until(503, *asked, **more)
        assert int(self.retry_after or "") > 0

    async def eventually(self, *asked: Any, **more: Any) -> None:
        """Ask until it succeeds; meanwhile the answer may only be 503."""
        await self._until(200, *asked, **more)

    async def until_missing(self, *asked: Any, **more: Any) -> None:
        """Ask until the answer is 404: what another process changed is read a moment later."""
        await self._until(404, *asked, **more)

    async def _until(self, wanted: int, *asked: Any, timeout_s: float = 60, **more: Any) -> None:
        async with asyncio.timeout(timeout_s):
            while (status := (await self.ask(*asked, **more))[0]) // 100 != wanted // 100:
                assert status in (200, 201, 202, 503)

    async def stop(self) -> None:
        await self._session.close()
        await super().stop()
