from __future__ import annotations

import asyncio
import gc
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pycares
import pytest
from aiohttp.abc import AbstractResolver

from hookseal.delivery.ports import Answer
from hookseal.errors import AttemptError, HooksealError, SealError
from hookseal.outbound.client import DNS_FLAGS
from hookseal.outbound.guard import EgressPolicy
from tests import hostile
from tests.conditions import until
from tests.hostile import ACCEPTED, EMPTY, OK, a_closed_port, receiving, redirecting
from tests.nameserver import naming
from tests.outbound import (
    ANY_PORT,
    BODY,
    HEADERS,
    LOOPBACK,
    PATIENCE_S,
    a_request,
    a_transport,
)

if TYPE_CHECKING:
    import socket

    from aiohttp.abc import ResolveResult

HTTPS_ONLY = EgressPolicy(allow_cidrs=LOOPBACK, allow_ports=ANY_PORT)


class BrokenResolver(AbstractResolver):
    """Raises what no resolver should, or answers with nothing."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily | int = 0
    ) -> list[ResolveResult]:
        if self._error is not None:
            raise self._error
        return []

    async def close(self) -> None:
        pass


async def code_of(url: str, headers: dict[str, str] | None = None) -> str:
    async with a_transport() as transport:
        with pytest.raises(HooksealError) as caught:
            await transport.post(a_request(url, headers))
    return caught.value.code


class TestTheRequest:
    async def test_carries_our_headers_and_what_http_needs_and_nothing_else(self) -> None:
        async with receiving(hostile.answering(ACCEPTED)) as receiver, a_transport() as transport:
            await transport.post(a_request(receiver.url("/hook?tenant=acme")))

        assert receiver.requests[0].startswith(b"POST /hook?tenant=acme HTTP/1.1\r\n")
        assert receiver.requests[0].endswith(b"\r\n\r\n" + BODY)
        sent = {name.lower(): value for name, value in receiver.headers().items()}
        assert sent == {
            **HEADERS,
            "host": f"127.0.0.1:{receiver.port}",
            "content-length": str(len(BODY)),
            "accept-encoding": "identity",
        }

    async def test_carries_no_cookie_of_an_earlier_answer(self) -> None:
        script = hostile.answering(OK + b"set-cookie: tenant=a; Path=/\r\n" + EMPTY)
        async with receiving(script, keep_alive=True) as receiver, a_transport() as transport:
            for _ in range(2):
                await transport.post(a_request(receiver.url()))

        assert b"cookie" not in receiver.requests[1].lower()

    async def test_goes_to_no_proxy_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = hostile.answering(ACCEPTED)
        async with receiving(script) as proxy, receiving(script) as receiver:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url(""))
                monkeypatch.setenv(name.lower(), proxy.url(""))
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            async with a_transport() as transport:
                answer = await transport.post(a_request(receiver.url()))

        assert answer.status == 200
        assert (len(receiver.requests), proxy.connections) == (1, 0)

    async def test_goes_over_a_kept_connection(self) -> None:
        script = hostile.answering(OK + b"content-length: 2\r\n\r\nok")
        async with receiving(script, keep_alive=True) as receiver, a_transport() as transport:
            for _ in range(5):
                await transport.post(a_request(receiver.url()))

        assert (receiver.connections, len(receiver.requests)) == (1, 5)

    async def test_finds_localhost_with_the_resolver_of_production(self) -> None:
        async with receiving(hostile.answering(ACCEPTED)) as receiver, a_transport() as transport:
            answer = await transport.post(a_request(receiver.url(host="localhost")))

        assert answer.status == 200

    async def test_waits_where_a_host_has_its_share_of_connections(self) -> None:
        script = hostile.in_two_packets(b"", ACCEPTED)
        async with (
            receiving(script, keep_alive=True) as receiver,
            a_transport(connections_per_host=2) as transport,
        ):
            posts = [transport.post(a_request(receiver.url())) for _ in range(8)]
            answers = await asyncio.gather(*posts)

        assert {answer.status for answer in answers} == {200}
        assert receiver.connections == 2

    @pytest.mark.parametrize(
        ("url", "headers"),
        [
            ("https://hooks.example.com:99999/", {}),
            ("https://[::1/", {}),
            ("", {}),
            ("/hook", {}),
            ("ftp://127.0.0.1/", {}),
            ("http://2130706433/", {}),
            ("http://127.0.0.1/", {"x-a": "b\r\nx-c: d"}),
            ("http://127.0.0.1/", {"x-a\n": "b"}),
            ("http://127.0.0.1/", {"content-length": "many"}),
        ],
    )
    async def test_that_http_has_no_form_for_is_refused_for_good(
        self, url: str, headers: dict[str, str]
    ) -> None:
        async with receiving(hostile.answering(ACCEPTED)) as receiver, a_transport() as transport:
            target = url.replace("//127.0.0.1/", f"//127.0.0.1:{receiver.port}/")
            with pytest.raises(SealError) as caught:
                await transport.post(a_request(target, headers))

        assert caught.value.code == "request_invalid"
        assert receiver.requests == []

    async def test_is_not_sent_in_the_clear_where_only_https_is_allowed(self) -> None:
        async with (
            receiving(hostile.answering(ACCEPTED)) as receiver,
            a_transport(HTTPS_ONLY) as transport,
        ):
            with pytest.raises(SealError) as caught:
                await transport.post(a_request(receiver.url()))

        assert caught.value.code == "request_invalid"
        assert receiver.connections == 0


class TestTheAnswer:
    @pytest.mark.parametrize("status", [200, 201, 204, 299, 304, 400, 404, 410, 429, 500, 599])
    async def test_is_handed_on_whatever_its_status(self, status: int) -> None:
        script = hostile.answering(f"HTTP/1.1 {status} X\r\n".encode() + EMPTY)
        async with receiving(script) as receiver, a_transport() as transport:
            answer = await transport.post(a_request(receiver.url()))

        assert answer == Answer(status)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_that_redirects_is_not_followed(self, status: int) -> None:
        async with receiving(hostile.answering(ACCEPTED)) as canary:
            script = redirecting(status, canary.url("/stolen"))
            async with receiving(script) as receiver, a_transport() as transport:
                answer = await transport.post(a_request(receiver.url()))

        assert answer.status == status
        assert canary.connections == 0

    async def test_brings_its_retry_after(self) -> None:
        script = hostile.answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\n" + EMPTY)
        async with receiving(script) as receiver, a_transport() as transport:
            answer = await transport.post(a_request(receiver.url()))

        assert answer == Answer(503, "120")

    @pytest.mark.parametrize(
        "reply",
        [
            b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
            b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            OK + b"connection: close\r\n\r\nuntil the end",
            OK + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-trailer: a\r\n\r\n",
            OK + b"content-encoding: gzip\r\ncontent-length: 8\r\n\r\nnot gzip",
            b"HTTP/1.1 103 Early Hints\r\n\r\n" * 8 + ACCEPTED,
            b"HTTP/1.1 100 Continue\r\n\r\n" + ACCEPTED,
        ],
        ids=["1.0", "1.0 with a length", "close", "chunked", "not gzip", "eight 103", "100"],
    )
    async def test_may_take_any_form_http_has(self, reply: bytes) -> None:
        async with receiving(hostile.answering(reply)) as receiver, a_transport() as transport:
            answer = await transport.post(a_request(receiver.url()))

        assert answer.status == 200

    async def test_may_come_before_the_request_was_read(self) -> None:
        early = asyncio.Event()

        async def answers_at_once(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.write(ACCEPTED)
            await early.wait()
            writer.close()

        server = await asyncio.start_server(answers_at_once, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, a_transport() as transport:
            answer = await transport.post(a_request(f"http://127.0.0.1:{port}/"))
            early.set()

        assert answer.status == 200


class TestFailure:
    async def test_a_refused_connection(self) -> None:
        with a_closed_port() as port:
            assert await code_of(f"http://127.0.0.1:{port}/") == "connection_refused"

    async def test_an_address_that_no_stream_can_reach(self) -> None:
        everywhere = EgressPolicy((ip_network("0.0.0.0/0"),), allow_http=True)
        async with a_transport(everywhere) as transport:
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request("http://255.255.255.255/"))

        assert caught.value.code == "connection_failed"

    async def test_a_name_without_an_address(self) -> None:
        async with naming() as server, a_transport(make_resolver=server.resolver) as transport:
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request("http://nowhere.example.com/"))

        assert caught.value.code == "dns_failed"

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (None, "dns_failed"),
            (OSError("no"), "dns_failed"),
            (RuntimeError("never"), "connection_failed"),
            (AssertionError("never"), "connection_failed"),
            (KeyError("never"), "connection_failed"),
        ],
    )
    async def test_nothing_but_our_errors_leaves(self, error: Exception | None, code: str) -> None:
        resolver = BrokenResolver(error)
        async with a_transport(make_resolver=lambda: resolver) as transport:
            with pytest.raises(HooksealError) as caught:
                await transport.post(a_request("http://hooks.example.com/"))

        assert caught.value.code == code

    async def test_its_text_holds_nothing_of_the_url(self) -> None:
        with a_closed_port() as port:
            async with a_transport() as transport:
                with pytest.raises(AttemptError) as caught:
                    await transport.post(a_request(f"http://127.0.0.1:{port}/p?token=hunter2"))

        shown = "".join((str(caught.value), repr(caught.value), str(caught.value.__cause__)))
        assert "127.0.0.1" not in shown
        assert "hunter2" not in shown
        assert str(port) not in shown

    async def test_a_cancelled_attempt_is_cancelled_and_its_connection_closed(self) -> None:
        async with receiving(hostile.silent()) as receiver, a_transport() as transport:
            attempt = asyncio.create_task(transport.post(a_request(receiver.url())))
            await until(lambda: bool(receiver.requests))
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            await asyncio.wait_for(receiver.closed_by_sender.wait(), PATIENCE_S)


class TestTheTransport:
    def test_asks_for_names_without_the_search_list(self) -> None:
        flags = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES

        assert flags == DNS_FLAGS

    async def test_opens_with_the_first_request(self) -> None:
        transport = a_transport()
        async with receiving(hostile.answering(ACCEPTED)) as receiver:
            answer = await transport.post(a_request(receiver.url()))
            await transport.close()

        assert answer.status == 200

    async def test_closed_unused_leaves_nothing_behind(self) -> None:
        await a_transport().close()
        async with a_transport():
            pass
        # An unclosed session or socket would warn, and a warning fails the test.
        gc.collect()

    async def test_closed_makes_no_more_attempts(self) -> None:
        async with receiving(hostile.answering(ACCEPTED)) as receiver:
            async with a_transport() as transport:
                await transport.post(a_request(receiver.url()))
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request(receiver.url()))

        assert caught.value.code == "connection_failed"
        assert len(receiver.requests) == 1

    async def test_does_not_keep_an_idle_connection(self) -> None:
        script = hostile.answering(ACCEPTED)
        async with (
            receiving(script, keep_alive=True) as receiver,
            a_transport(idle_s=0.05) as transport,
        ):
            await transport.post(a_request(receiver.url()))
            await asyncio.wait_for(receiver.closed_by_sender.wait(), PATIENCE_S)

        assert receiver.connections == 1
