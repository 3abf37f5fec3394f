"""A receiver that answers late and notes what came when; a program of its own.

nginx cannot wait without a module, and its times have whole milliseconds. This program
carries 26,000 requests a second, and 12,000 where it answers 1,000 connections after 50 ms.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_BACKLOG = 1024


class Book:
    """What came so far.

    Attributes:
        count: Requests.
        notes: Seconds of `time.monotonic`, which all processes share, and event id of each
            request; empty unless they are kept.
    """

    def __init__(self, *, keeps: bool) -> None:
        self.count = 0
        self.notes: list[tuple[float, bytes]] = []
        self._keeps = keeps

    def note(self, head: bytes) -> None:
        """Note a request that is complete now."""
        self.count += 1
        if self._keeps and (found := _ID.search(head)):
            self.notes.append((time.monotonic(), found[1]))

    def text(self) -> str:
        """Return the notes, one a line: moment, event id."""
        return "".join(f"{at!r} {event_id.decode()}\n" for at, event_id in self.notes)


class Receiver(asyncio.Protocol):
    """One connection: takes requests one after the other, answers each after the delay."""

    _transport: asyncio.Transport

    def __init__(self, book: Book, delay_s: float) -> None:
        self._book = book
        self._delay_s = delay_s
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Note each request that is complete, and answer it in time."""
        self._held += data
        while (end := self._held.find(_HEAD_END)) >= 0:
            head = self._held[: end + 2]
            length = _LENGTH.search(head)
            size = end + len(_HEAD_END) + (int(length[1]) if length else 0)
            if len(self._held) < size:
                return
            self._held = self._held[size:]
            self._book.note(head)
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        # The worker may have hung up meanwhile; then writing would only log.
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


class StatusPage(asyncio.Protocol):
    """Says how many requests came, to whoever asks whatever."""

    _transport: asyncio.Transport

    def __init__(self, book: Book) -> None:
        self._book = book

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, _: bytes) -> None:
        """Answer and hang up."""
        body = str(self._book.count)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._transport.write(f"{head}{body}".encode())
        self._transport.close()


async def _serve(
    hosts: Sequence[str], port: int, status_port: int, delay_s: float, book: Book
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await loop.create_server(lambda: Receiver(book, delay_s), hosts, port, backlog=_BACKLOG)
    await loop.create_server(lambda: StatusPage(book), hosts[0], status_port)
    await stopped.wait()


def _main(hosts: str, port: str, status_port: str, delay_s: str, notes: str = "") -> None:
    book = Book(keeps=bool(notes))
    asyncio.run(_serve(hosts.split(","), int(port), int(status_port), float(delay_s), book))
    if notes:
        Path(notes).write_text(book.text())


if __name__ == "__main__":
    _main(*sys.argv[1:])
