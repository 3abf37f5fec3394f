"""Whatever one client does, an API process answers the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from hookseal.api.events import BATCH_MAX_BYTES
from tests.e2e.api import ADMIN_KEY, Api
from tests.e2e.process import BIN, Process

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

EVENT = {"type": "order.paid", "data": {"total": 42}}
HEAD = "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
HALF_OPEN = 1_100
DESCRIPTORS = 1_024
# Of a process that starts, serves and refuses; it was 80,779 without a limit of connections.
LOG_LINES_MAX = 100


class LimitedApi(Api):
    """An API process with a hard limit of descriptors, which it cannot raise."""

    def __init__(self, env: dict[str, str], folder: Path) -> None:
        Process.__init__(
            self,
            "limited",
            {"HOOKSEAL_ADMIN_KEY": ADMIN_KEY, **env},
            folder,
            *("bash", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "bash"),
            *(str(BIN / "hookseal"), "api", "--port", "0"),
        )


async def tenant_key(provider: Provider, api: Api, customer_id: str) -> str:
    key: str = (await api.do("POST", "/v1/tenants", {"customer_id": customer_id}))["api_key"]
    return key


async def publishes(api: Api, key: str | None, **event: str) -> None:
    status, answer = await api.ask("POST", "/v1/events", {**EVENT, **event}, key=key)
    assert status == 202, answer


class Clients:
    """Raw connections to an API process."""

    def __init__(self, api: Api) -> None:
        self._port = urlsplit(api.url).port
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, head: str, body: bytes = b"") -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._streams.append((reader, writer))
        with suppress(OSError):
            writer.write(head.encode() + body)
            await writer.drain()
        return reader

    async def close(self) -> None:
        for _, writer in self._streams:
            writer.close()
        for _, writer in self._streams:
            with suppress(OSError):
                await writer.wait_closed()


async def test_slow_bodies_of_one_key_refuse_nobody_else(provider: Provider) -> None:
    worker = await provider.worker()
    api = await provider.api()
    await worker.ready()
    slow, other = [await tenant_key(provider, api, name) for name in ("slow", "other")]
    head = f"{HEAD}Authorization: Bearer {slow}\r\nContent-Length: {BATCH_MAX_BYTES - 1}\r\n\r\n"
    clients = Clients(api)
    try:
        # All of it but the last byte, which never comes.
        readers = await asyncio.gather(
            *(clients.send(head, b" " * (BATCH_MAX_BYTES - 2)) for _ in range(16))
        )
        refused = [asyncio.create_task(reader.read(16)) for reader in readers]
        # Six bodies fit into half of 48 MiB; the others are refused while they arrive.
        async with asyncio.timeout(25):
            while sum(task.done() for task in refused) < 10:
                await asyncio.wait(
                    [task for task in refused if not task.done()],
                    return_when=asyncio.FIRST_COMPLETED,
                )
        answers = [task.result() for task in refused if task.done()]
        for _ in range(20):
            await publishes(api, other)
            await publishes(api, ADMIN_KEY, customer_id="other")
        status, answer = await api.ask(
            "POST", "/v1/events", [{**EVENT, "data": "x" * 20_000}] * 40, key=slow
        )
        for task in refused:
            task.cancel()
        await asyncio.gather(*refused, return_exceptions=True)
    finally:
        await clients.close()

    assert set(answers) == {b"HTTP/1.1 429 Too"}
    assert (status, answer["code"]) == (429, "body_share_exceeded")
    # What was in use is free again.
    async with asyncio.timeout(60):
        while (await api.ask("POST", "/v1/events", EVENT, key=slow))[0] != 202:
            pass


async def test_half_open_requests_lock_nobody_out(provider: Provider, tmp_path: Path) -> None:
    worker = await provider.worker()
    api = await LimitedApi(provider.env, tmp_path).start()
    clients = Clients(api)
    try:
        await api.ready()
        await worker.ready()
        key = await tenant_key(provider, api, "acme")
        lines_before = len(api.lines)
        for _ in range(HALF_OPEN):
            await clients.send("POST /v1/events HTTP/1.1\r\nHost:")

        async with asyncio.timeout(30):
            for _ in range(20):
                assert (await api.ask("GET", "/healthz", key=None))[0] == 200
                await publishes(api, key)
        assert len(api.lines) - lines_before < LOG_LINES_MAX
        assert api.events("server.connection_limit_reached")
        assert not api.events("server.accept_failed")
    finally:
        await clients.close()
        await api.stop()
