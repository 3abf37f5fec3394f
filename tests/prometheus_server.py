"""A real Prometheus of a test's own: Debian's."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]

from tests.e2e.conftest import closed_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PrometheusServer"]


class PrometheusServer:
    """Scrapes each second; an asynchronous context manager."""

    def __init__(self, folder: Path, targets: list[str], rules: Path) -> None:
        self._folder = folder
        self._targets = targets
        self._rules = rules

    async def __aenter__(self) -> Self:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("there is no prometheus")
        config = self._folder / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(self._rules)],
                    "scrape_configs": [
                        {"job_name": "hookseal", "static_configs": [{"targets": self._targets}]}
                    ],
                }
            )
        )
        port = closed_port()
        self._url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(  # noqa: ASYNC220
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=error",
            ]
        )
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._process.terminate()
        self._process.wait(10)

    async def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer, which must be a success; None if nobody answers yet."""
        try:
            async with self._session.get(f"{self._url}/api/v1/{path}", params=query) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, ValueError):
            return None
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    async def query(self, expression: str) -> list[Any]:
        """Return what a query comes to now."""
        data = await self.ask("query", query=expression)
        return [] if data is None else list(data["result"])
