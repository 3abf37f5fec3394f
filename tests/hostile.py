"""Receivers on loopback that say exactly what a test has them say, byte by byte.

`receiving(script)` serves one script on real sockets and keeps what it was sent. The
scripts below are the receivers that a sender has to survive.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

Script = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"content-length: 0\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
ACCEPTED = OK + EMPTY
BLOCK = 65_536
PACE_S = 0.005


@dataclass
class Receiver:
    """What a receiver was sent so far."""

    port: int
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closed_by_sender: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook", *, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def headers(self, number: int = 0) -> dict[str, str]:
        lines = self.requests[number].partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)


@asynccontextmanager
async def receiving(
    script: Script,
    *,
    keep_alive: bool = False,
    tls: ssl.SSLContext | None = None,
    hosts: tuple[str, ...] = ("127.0.0.1",),
    other_than: int = 0,
) -> AsyncIterator[Receiver]:
    """Serve a script: it runs once for each request, once that was read to its end.

    All hosts share one port, which is never `other_than`.
    """
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        receiver.connections += 1
        # A sender that breaks off is what most of these scripts are for; a cancelled handler
        # would be logged as a failure.
        with suppress(OSError, asyncio.CancelledError):
            try:
                with suppress(asyncio.IncompleteReadError):
                    await _exchange(reader, writer)
            finally:
                receiver.closed_by_sender.set()
                writer.close()
                await writer.wait_closed()
        handlers.discard(task)

    async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            receiver.requests.append(await _request(reader))
            speaking = asyncio.create_task(script(writer))
            leaving = asyncio.create_task(_gone(reader))
            try:
                await asyncio.wait((speaking, leaving), return_when=asyncio.FIRST_COMPLETED)
                if speaking.done():
                    speaking.result()
                    await writer.drain()
                if leaving.done() or not keep_alive:
                    return
            finally:
                speaking.cancel()
                leaving.cancel()
                await asyncio.gather(speaking, leaving, return_exceptions=True)

    sockets = _listening(hosts, other_than)
    servers = [await asyncio.start_server(handle, sock=one, ssl=tls) for one in sockets]
    receiver = Receiver(port=sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        for server in servers:
            server.close()
        for task in tuple(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for server in servers:
            await server.wait_closed()


def _listening(hosts: tuple[str, ...], other_than: int) -> list[socket.socket]:
    while True:
        with ExitStack() as opened:
            port, sockets = 0, []
            for host in hosts:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                try:
                    one = socket.create_server((host, port), family=family)
                except OSError as fault:
                    if port == 0 or fault.errno != errno.EADDRINUSE:
                        raise
                    break  # The port is free on the first host and taken on this one.
                sockets.append(opened.enter_context(one))
                port = one.getsockname()[1]
            if len(sockets) == len(hosts) and port != other_than:
                opened.pop_all()
                return sockets


async def _gone(reader: asyncio.StreamReader) -> None:
    # Not by reading: what comes next on a kept connection is the next request.
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - as above
        await asyncio.sleep(PACE_S)


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return head + await reader.readexactly(length)


@asynccontextmanager
async def hanging_up(last_words: bytes = b"") -> AsyncIterator[int]:
    """Hold a port where whatever is said first is met with this and a close."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(BLOCK)
            writer.write(last_words)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def a_closed_port() -> Iterator[int]:
    """Hold a port that refuses connections."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def answering(*pieces: bytes) -> Script:
    """Write this and go on."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return script


def endlessly(first: bytes, then: bytes) -> Script:
    """Write the one thing, then the other for as long as the sender takes it."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(then)
            await writer.drain()
            # A sender in the same loop would never get a turn: drain() does not always yield.
            await asyncio.sleep(0)

    return script


def dribbling(first: bytes, then: bytes) -> Script:
    """Write the one thing, then one byte of the other at a time, over and over."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            for byte in then:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(PACE_S)

    return script


def in_two_packets(first: bytes, second: bytes) -> Script:
    """Write the second only after the sender has surely read the first."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(PACE_S)
        writer.write(second)

    return script


def silent(first: bytes = b"") -> Script:
    """Write this, then nothing, and never close."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await asyncio.Event().wait()

    return script


def resetting(first: bytes = b"") -> Script:
    """Write this, then break the connection with a TCP reset."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(PACE_S)
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return script


def redirecting(status: int, location: str) -> Script:
    return answering(
        f"HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\n".encode() + EMPTY,
    )


def slow_headers() -> Script:
    return dribbling(OK, b"x-a: b\r\n")


def slow_body() -> Script:
    return dribbling(OK + b"content-length: 100000\r\n\r\n", b"x")


def endless_body() -> Script:
    return endlessly(OK + b"\r\n", b"x" * BLOCK)


def endless_chunks() -> Script:
    return endlessly(OK + CHUNKED, b"%x\r\n%s\r\n" % (BLOCK, b"x" * BLOCK))


def tiny_chunks() -> Script:
    return endlessly(OK + CHUNKED, b"1\r\nx\r\n" * 10_000)


def endless_chunk_extension() -> Script:
    return endlessly(OK + CHUNKED + b"1;", b"x" * BLOCK)


def endless_space() -> Script:
    return endlessly(OK + b"x-a:", b" " * BLOCK)


def endless_empty_lines() -> Script:
    return endlessly(b"", b"\r\n" * (BLOCK // 2))


def endless_interim_answers() -> Script:
    return endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


def twenty_thousand_headers() -> Script:
    return answering(OK, b"".join(b"x-%d: y\r\n" % n for n in range(20_000)), b"\r\n")


def huge_status_line() -> Script:
    return endlessly(b"HTTP/1.1 200 ", b"x" * BLOCK)


@lru_cache
def _zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), compresslevel=1)


def gzip_bomb(size: int = 64 * 1_048_576) -> Script:
    """A few hundred KiB that would unpack to `size` bytes."""
    packed = _zeros(size)
    head = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    return answering(OK + head, packed)
