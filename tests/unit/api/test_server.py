"""The bounds of the HTTP server, over real sockets, with both event loops."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from hookseal.api.connections import Wait
from hookseal.api.server import HttpServer, connection_limit, listen_tcp, listen_unix
from hookseal.descriptors import soft_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost:"
# More than the kernel buffers of a connection whose client reads nothing.
LARGE = b"x" * (32 * 1024 * 1024)
LONG_S = 3600.0

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A server with one page, a large page, and a page that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.app = web.Application()
        self.app.router.add_route("*", "/", self._page)
        self.app.router.add_get("/large", self._large)
        self.app.router.add_get("/held", self._held)
        self.port = 0
        self._clients: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(
        self, timeouts_s: Mapping[Wait, float] | None = None, *, max_connections: int = 100
    ) -> AsyncIterator[None]:
        sockets = listen_tcp("127.0.0.1", 0)
        timeouts_s = {**dict.fromkeys(Wait, LONG_S), **(timeouts_s or {})}
        async with HttpServer(
            self.app, sockets, name="api", max_connections=max_connections, timeouts_s=timeouts_s
        ) as server:
            self.port = server.port
            yield

    async def connect(self, sent: bytes = b"") -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._clients.append(writer)
        writer.write(sent)
        return reader, writer

    async def disconnect(self) -> None:
        for writer in self._clients:
            writer.close()
        for writer in self._clients:
            with suppress(OSError):
                await writer.wait_closed()

    async def get(self) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/") as response,
        ):
            return response.status

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text="here")

    async def _large(self, _: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    async def _held(self, _: web.Request) -> web.Response:
        self.asked.release()
        await self.go_on.wait()
        return web.Response(text="at last")


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    server = Served()
    yield server
    await server.disconnect()


def closed(reason: str) -> float:
    labels = {"server": "api", "reason": reason}
    return REGISTRY.get_sample_value("hookseal_connections_closed_total", labels) or 0.0


async def until_more_are_closed(
    reason: str, *, by: int = 1, meanwhile: Callable[[], None] = lambda: None
) -> None:
    before = closed(reason)
    async with asyncio.timeout(30):
        while closed(reason) < before + by:
            meanwhile()
            await asyncio.sleep(0.01)


@contextmanager
def no_descriptor_left() -> Iterator[Callable[[], None]]:
    """Have this process use all descriptors that it may have; yield what uses those freed since."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        probe = stack.enter_context(socket.socket())
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 20, hard))

        def fill() -> None:
            with suppress(OSError):
                while True:
                    stack.enter_context(socket.socket())

        fill()
        yield fill


async def until_closed(stream: Stream) -> bytes:
    """Return what still came until the server closed the connection."""
    async with asyncio.timeout(30):
        try:
            return await stream[0].read()
        except ConnectionResetError:
            return b"reset"


async def answer(stream: Stream) -> bytes:
    async with asyncio.timeout(30):
        return await stream[0].readuntil(b"here")


class TestTimeouts:
    @pytest.mark.parametrize("sent", [b"", HALF, b"\r\n"])
    async def test_a_request_head_that_does_not_end_is_not_waited_for(
        self, served: Served, sent: bytes
    ) -> None:
        async with served.listening({Wait.HEAD: 0.1}):
            before = closed("head_timeout")
            stream = await served.connect(sent)

            assert await until_closed(stream) == b""
            assert closed("head_timeout") == before + 1

    async def test_a_head_that_comes_byte_by_byte_has_the_same_time(self, served: Served) -> None:
        async with served.listening({Wait.HEAD: 0.5}):
            stream = await served.connect(HALF)
            ended = asyncio.create_task(until_closed(stream))
            while not ended.done():
                stream[1].write(b"a")
                await asyncio.sleep(0.05)

            assert await ended in (b"", b"reset")

    async def test_the_second_head_of_a_connection_has_the_same_time(self, served: Served) -> None:
        async with served.listening({Wait.HEAD: 0.1}):
            stream = await served.connect(GET)
            await answer(stream)
            stream[1].write(HALF)

            assert await until_closed(stream) == b""

    async def test_an_idle_connection_is_closed(self, served: Served) -> None:
        async with served.listening({Wait.IDLE: 0.1}):
            before = closed("idle")
            stream = await served.connect(GET)
            await answer(stream)

            assert await until_closed(stream) == b""
            assert closed("idle") == before + 1

    async def test_a_request_in_progress_has_no_timeout_of_the_connection(
        self, served: Served
    ) -> None:
        async with served.listening(dict.fromkeys(Wait, 0.01)):
            stream = await served.connect(GET.replace(b"/", b"/held", 1))
            before = closed("head_timeout")
            # It is swept away together with a connection that opened after it.
            await until_closed(await served.connect(HALF))
            served.go_on.set()

            async with asyncio.timeout(30):
                assert await stream[0].readuntil(b"at last")
            assert closed("head_timeout") == before + 1

    async def test_a_client_that_does_not_read_its_response_is_not_waited_for(
        self, served: Served
    ) -> None:
        async with served.listening({Wait.WRITE: 0.1}):
            stream = await served.connect(GET.replace(b"/", b"/large", 1))
            await until_more_are_closed("write_timeout")

            received = await until_closed(stream)
            assert len(received) < len(LARGE)

    async def test_a_client_that_reads_slowly_gets_its_response(self, served: Served) -> None:
        async with served.listening({Wait.WRITE: 5.0}):
            reader, _ = await served.connect(GET.replace(b"/", b"/large", 1))
            received = 0
            async with asyncio.timeout(60):
                while received < len(LARGE):
                    received += len(await reader.read(256 * 1024))


class TestRequests:
    async def test_follow_one_another_on_a_connection(self, served: Served) -> None:
        async with served.listening(max_connections=1):
            stream = await served.connect()
            for _ in range(3):
                stream[1].write(GET)
                await answer(stream)
            stream[1].write(GET * 40)

            for _ in range(40):
                await answer(stream)

    async def test_a_body_that_nobody_reads_is_no_head(self, served: Served) -> None:
        body = b"x" * 200_000
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with served.listening():
            stream = await served.connect(post)
            await answer(stream)
            stream[1].write(body)
            stream[1].write(GET)

            await answer(stream)

    async def test_a_head_without_end_is_refused_at_32_kib(self, served: Served) -> None:
        async with served.listening():
            stream = await served.connect(b"GET / HTTP/1.1\r\n")
            for number in range(20):
                stream[1].write(b"h%d: %s\r\n" % (number, b"x" * 4_000))

            assert b"431" in (await until_closed(stream))[:20]

    async def test_what_is_no_http_is_refused_and_logs_no_stack_trace(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with served.listening():
            with caplog.at_level(logging.INFO):
                received = await until_closed(await served.connect(b"GET / HTTP/1.1\r\n:\r\n\r\n"))

        assert received.startswith(b"HTTP/1.0 400 ")
        assert b"request_malformed" in received
        assert not caplog.records

    @pytest.mark.parametrize(
        "sent",
        [
            b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\r\r\n\r\n",
            b"GET /canary\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"canary / HTTP/9.9\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: can\x00ary canary\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\ncanary name: 1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"canary" * 3_000 + b"\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: canary\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n",
            b"POST /read HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ncanary\r\n0\r\n\r\n",
            b"GET /crash HTTP/1.1\r\nHost: a\r\nX: canary\r\n\r\n",
        ],
    )
    async def test_the_log_and_the_answer_repeat_nothing_of_a_bad_request(
        self, served: Served, caplog: pytest.LogCaptureFixture, sent: bytes
    ) -> None:
        async def read(request: web.Request) -> web.Response:
            return web.Response(body=await request.read())

        async def crash(request: web.Request) -> web.Response:
            raise ValueError(request.headers["X"])

        served.app.router.add_post("/read", read)
        served.app.router.add_get("/crash", crash)
        async with served.listening():
            with caplog.at_level(logging.INFO):
                received = await until_closed(await served.connect(sent))

        assert received
        assert b"canary" not in received
        assert "canary" not in caplog.text


class TestConnectionLimit:
    def test_is_half_of_the_descriptors(self) -> None:
        assert connection_limit() == min(soft_limit() // 2, 4_096)

    async def test_the_connection_that_waits_longest_makes_room_for_a_new_one(
        self, served: Served
    ) -> None:
        async with served.listening(max_connections=3):
            before = closed("evicted")
            first, second, third = [await served.connect() for _ in range(3)]
            for stream in (first, second, third):
                stream[1].write(GET)
                await answer(stream)

            assert await served.get() == 200
            assert await until_closed(first) == b""
            assert closed("evicted") == before + 1
            for stream in (second, third):
                stream[1].write(GET)
                await answer(stream)

    async def test_a_flood_of_half_open_requests_keeps_nobody_out(self, served: Served) -> None:
        async with served.listening(max_connections=20):
            for _ in range(200):
                await served.connect(HALF)

            assert [await served.get() for _ in range(5)] == [200] * 5

    async def test_no_request_in_progress_is_ever_closed_for_a_new_one(
        self, served: Served
    ) -> None:
        async with served.listening(max_connections=2):
            held = [await served.connect(GET.replace(b"/", b"/held", 1)) for _ in range(2)]
            async with asyncio.timeout(30):
                for _ in held:
                    await served.asked.acquire()
            before = closed("evicted")
            waiting = [asyncio.create_task(served.get()) for _ in range(10)]
            await served.connect(HALF)
            assert not (await asyncio.wait(waiting, timeout=0.2))[0]
            assert closed("evicted") == before
            served.go_on.set()
            async with asyncio.timeout(30):
                for reader, _ in held:
                    await reader.readuntil(b"at last")
            assert await asyncio.gather(*waiting) == [200] * 10

    @pytest.mark.slow
    async def test_clients_that_do_not_read_keep_nobody_out(self, served: Served) -> None:
        async with served.listening(max_connections=2):
            before = closed("evicted")
            for _ in range(3):
                await served.connect(GET.replace(b"/", b"/large", 1))
                assert await served.get() == 200

            assert closed("evicted") > before


class TestDescriptors:
    async def test_without_any_left_it_logs_once_and_accepts_later(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        loop = asyncio.get_running_loop()
        async with served.listening():
            with ExitStack() as stack, socket.socket() as client:
                client.settimeout(0)
                fill = stack.enter_context(no_descriptor_left())
                await loop.sock_connect(client, ("127.0.0.1", served.port))
                await until_more_are_closed("accept_failed", by=2, meanwhile=fill)
                stack.close()

                await loop.sock_sendall(client, GET)
                async with asyncio.timeout(30):
                    assert b"200 OK" in await loop.sock_recv(client, 100)

        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "EMFILE" in caplog.text


class TestListening:
    async def test_on_a_host_name_is_on_each_of_its_addresses(self) -> None:
        sockets = listen_tcp("localhost", 0)
        addresses = {listening.getsockname()[0] for listening in sockets}
        for listening in sockets:
            listening.close()

        assert "127.0.0.1" in addresses

    async def test_on_a_port_in_use_is_refused(self) -> None:
        (taken,) = listen_tcp("127.0.0.1", 0)
        with pytest.raises(OSError, match="in use") as refused:
            listen_tcp("127.0.0.1", taken.getsockname()[1])
        taken.close()

        assert refused.value.errno == errno.EADDRINUSE

    async def test_on_a_unix_socket_replaces_the_one_that_was_left_there(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "api"
        listen_unix(path)[0].close()

        async with (
            HttpServer(Served().app, listen_unix(path), name="api"),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://localhost/") as response,
        ):
            assert response.status == 200

    async def test_it_ends_although_clients_keep_their_connections(self, served: Served) -> None:
        async with served.listening():
            streams = [await served.connect(sent) for sent in (b"", HALF, GET)]
            await answer(streams[2])

        assert [await until_closed(stream) for stream in streams] == [b""] * 3
        gauge = REGISTRY.get_sample_value("hookseal_connections", {"server": "api"})
        assert gauge == 0
