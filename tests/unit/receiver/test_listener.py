"""The receiver to try things with."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import aiohttp
import pytest

from hookseal_receiver.cli.app import Responder
from hookseal_receiver.listener import Listener
from tests.receiving import EVENT, OTHER, a_request, a_webhook

if TYPE_CHECKING:
    from hookseal_receiver import Event, VerificationError


class Book:
    """Notes what a listener tells."""

    def __init__(self, status: int = 200) -> None:
        self.opened: list[tuple[Event, bytes]] = []
        self.refused: list[str] = []
        self._status = status

    async def answer(self, event: Event, body: bytes) -> int:
        self.opened.append((event, body))
        return self._status

    def refuse(self, error: VerificationError) -> None:
        self.refused.append(error.reason)


async def post(listener: Listener, headers: dict[str, str], body: bytes) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{listener.port}/any", data=body, headers=headers) as found,
    ):
        assert await found.read() == b""
        return found.status


async def test_it_answers_what_it_was_told_to() -> None:
    book = Book(status=503)
    headers, body = a_request()

    async with Listener(answer=book.answer, refused=book.refuse, webhook=a_webhook()) as listener:
        assert await post(listener, headers, body) == 503

    ((event, came),) = book.opened
    assert (event.data, came) == (EVENT["data"], body)


async def test_it_refuses_what_it_cannot_open() -> None:
    book = Book()
    webhook = a_webhook(max_body_bytes=2000)

    async with Listener(answer=book.answer, refused=book.refuse, webhook=webhook) as listener:
        assert await post(listener, {}, b"{}") == 400
        assert await post(listener, *a_request(secret=OTHER)) == 400
        assert await post(listener, {}, b"x" * 2001) == 413

    assert book.opened == []
    assert book.refused == ["headers_invalid", "signature_invalid", "body_too_large"]


async def test_until_it_knows_its_keys_it_asks_to_come_again() -> None:
    book = Book()

    async with Listener(answer=book.answer, refused=book.refuse) as listener:
        assert await post(listener, *a_request()) == 503
        listener.webhook = a_webhook()
        assert await post(listener, *a_request()) == 200


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    book = Book()
    async with Listener(answer=book.answer, refused=book.refuse) as taken:
        second = Listener(answer=book.answer, refused=book.refuse, port=taken.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
    await asyncio.sleep(0)


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nHost:"])
async def test_a_request_that_does_not_arrive_is_not_waited_for(sent: bytes) -> None:
    book = Book()
    listener = Listener(answer=book.answer, refused=book.refuse, webhook=a_webhook(), timeout_s=0.1)
    async with listener, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(sent)

        assert await reader.read() == b""
        writer.close()


async def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    book = Book()
    listener = Listener(answer=book.answer, refused=book.refuse, webhook=a_webhook(), timeout_s=0.1)
    async with listener, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")

        assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()


async def test_connections_over_256_are_closed_at_once() -> None:
    book = Book()
    async with (
        Listener(answer=book.answer, refused=book.refuse, webhook=a_webhook()) as listener,
        asyncio.timeout(30),
    ):
        streams = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(257)]

        with suppress(ConnectionResetError):
            assert await streams[-1][0].read() == b""
        for _, writer in streams:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        assert await post(listener, *a_request()) == 200


async def test_a_repeat_is_told_from_a_retry(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Responder(fail_rate=0.0, latency_s=0.0, status=200, quiet=False)
    failing = Responder(fail_rate=1.0, latency_s=0.0, status=200, quiet=True)
    event = a_webhook().open(*a_request())

    assert [await desk.answer(event, b"") for _ in range(2)] == [200, 200]
    assert [await failing.answer(event, b"") for _ in range(2)] == [503, 503]

    assert (desk.received, desk.repeated) == (2, 1)
    assert (failing.received, failing.repeated) == (2, 0)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1].split("{")[0] for line in printed] == [
        "200 evt_1 ",
        "200 evt_1 (repeat) ",
    ]


async def test_what_would_steer_a_terminal_is_made_visible(
    capsys: pytest.CaptureFixture[str],
) -> None:
    desk = Responder(fail_rate=0.0, latency_s=0.0, status=200, quiet=False)
    plaintext = a_webhook().open(*a_request()).plaintext[:-1] + ', "x": "\x9b31m"}'.encode()

    await desk.answer(a_webhook().open(*a_request(plaintext)), b"")

    assert r"\x9b31m" in capsys.readouterr().out
