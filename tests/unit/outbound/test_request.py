from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from hookseal.errors import SealError
from hookseal.outbound.exchange import Destination, destination_of, message_of

BODY = b'{"protected":"e30"}'


async def destination(url: str) -> Destination:
    return destination_of(URL(url), asyncio.get_running_loop())


async def test_the_whole_request_as_it_goes_on_the_wire() -> None:
    to = await destination("https://hooks.example.com:8443/in/box?key=a%20b#top")

    assert message_of(to, {"webhook-id": "evt_1", "X-Team": "a b"}, BODY) == (
        b"POST /in/box?key=a%20b HTTP/1.1\r\n"
        b"Host: hooks.example.com:8443\r\n"
        b"Accept-Encoding: identity\r\n"
        b"webhook-id: evt_1\r\n"
        b"X-Team: a b\r\n"
        b"Content-Length: 19\r\n"
        b"\r\n"
        b'{"protected":"e30"}'
    )


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://hooks.example.com", b"POST / HTTP/1.1"),
        ("https://hooks.example.com/?", b"POST / HTTP/1.1"),
        ("https://hooks.example.com/ä", b"POST /%C3%A4 HTTP/1.1"),
    ],
)
async def test_the_first_line(url: str, line: bytes) -> None:
    assert message_of(await destination(url), {}, b"").split(b"\r\n")[0] == line


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://hooks.example.com:443/", b"hooks.example.com"),
        ("http://hooks.example.com:443/", b"hooks.example.com:443"),
        ("https://[2001:db8::1]:8443/", b"[2001:db8::1]:8443"),
        ("https://bücher.example/", b"xn--bcher-kva.example"),
    ],
)
async def test_the_host(url: str, host: bytes) -> None:
    assert b"\r\nHost: " + host + b"\r\n" in message_of(await destination(url), {}, b"")


async def test_a_value_may_hold_a_tab_and_any_letter() -> None:
    message = message_of(await destination("https://a.example/"), {"x-name": "a\tü"}, b"")

    assert b"x-name: a\t\xc3\xbc\r\n" in message


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "b\r\nx-c: d"},
        {"x-a": "b\nx-c: d"},
        {"x-a": "b\r"},
        {"x-a\r\n": "b"},
        {"x-a": "b\x00"},
        {"x-a": "b", "x-c": "d\r\n\r\nPOST / HTTP/1.1"},
        {"x-a": "\ud800"},
    ],
    ids=repr,
)
async def test_a_header_that_would_end_its_line_is_refused(headers: dict[str, str]) -> None:
    to = await destination("https://a.example/")

    with pytest.raises((SealError, UnicodeEncodeError)):
        message_of(to, headers, BODY)


@pytest.mark.parametrize(
    "name", ["content-length", "Content-Length", "TRANSFER-ENCODING", "connection", "Host"]
)
async def test_a_header_that_would_say_where_the_body_ends_is_refused(name: str) -> None:
    to = await destination("https://a.example/")

    with pytest.raises(SealError) as caught:
        message_of(to, {name: "1"}, BODY)

    assert caught.value.code == "request_invalid"
