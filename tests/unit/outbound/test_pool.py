"""The connection pool: a bound that counts idle connections, and connections that break."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hookseal.delivery.ports import SealedRequest
from hookseal.errors import AttemptError, LocalResourceError
from tests import hostile
from tests.certificates import the_authority
from tests.conditions import until
from tests.hostile import ACCEPTED, receiving
from tests.outbound import BODY, HEADERS, PATIENCE_S, TIMEOUT_S, a_request, a_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hookseal.outbound.client import HttpTransport
    from hookseal.outbound.connection import Connector

# Answers for all of 127.0.0.0/8.
EVERY_LOOPBACK = "0.0.0.0"
HOSTS = 40
SOCKETS = 8


def pool_of(transport: HttpTransport) -> Connector:
    connector = transport._connector
    assert connector is not None
    return connector


@asynccontextmanager
async def losing(answers: dict[int, bytes | None]) -> AsyncIterator[tuple[int, list[int]]]:
    """Serve requests on kept connections; yield the port and the connection of each request.

    Args:
        answers: By number of the request, from 1: its answer, or None to close without one.
    """
    seen: list[int] = []
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        while request := await reader.read(65_536):
            assert request.startswith(b"POST ")
            seen.append(mine)
            answer = answers.get(len(seen), ACCEPTED)
            if answer is not None:
                writer.write(answer)
            if answer != ACCEPTED:
                break
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], seen


class TestIdleConnections:
    async def test_count_towards_the_bound(self) -> None:
        script = hostile.answering(ACCEPTED)
        async with (
            receiving(script, keep_alive=True, hosts=(EVERY_LOOPBACK,)) as receiver,
            a_transport(sockets=SOCKETS, idle_s=PATIENCE_S) as transport,
        ):
            open_at_most = 0
            for number in range(HOSTS):
                await transport.post(a_request(receiver.url(host=f"127.0.1.{number + 1}")))
                open_at_most = max(open_at_most, pool_of(transport).open_count)

        assert receiver.connections == HOSTS
        assert open_at_most == SOCKETS

    async def test_of_all_hosts_are_closed_in_the_order_of_their_last_use(self) -> None:
        async with (
            receiving(
                hostile.answering(ACCEPTED), keep_alive=True, hosts=(EVERY_LOOPBACK,)
            ) as receiver,
            a_transport(sockets=3, idle_s=PATIENCE_S) as transport,
        ):
            for host in (1, 2, 3, 1, 4):
                # The fourth request keeps the first connection, so that 2 was idle longest.
                await transport.post(a_request(receiver.url(host=f"127.0.1.{host}")))
            kept = {key.host for key in pool_of(transport)._conns}
            before = receiver.connections
            await transport.post(a_request(receiver.url(host="127.0.1.1")))

        assert kept == {"127.0.1.1", "127.0.1.3", "127.0.1.4"}
        assert receiver.connections == before == 4

    async def test_are_bounded_while_many_requests_are_sent_together(self) -> None:
        async with (
            receiving(
                hostile.answering(ACCEPTED), keep_alive=True, hosts=(EVERY_LOOPBACK,)
            ) as receiver,
            a_transport(sockets=SOCKETS, connections=4, idle_s=PATIENCE_S) as transport,
        ):
            open_at_most: list[int] = []

            def may_send() -> bool:
                # Not `open_count`: that has requests which may use a connection, and are about
                # to close another one for it.
                pool = pool_of(transport)
                open_at_most.append(len(pool._acquired) + len(pool._idle))
                return True

            posts = [
                transport.post(
                    a_request(receiver.url(host=f"127.0.1.{1 + number % HOSTS}")),
                    may_send,
                )
                for number in range(3 * HOSTS)
            ]
            answers = await asyncio.gather(*posts)

        assert {answer.status for answer in answers} == {200}
        assert len(open_at_most) == 3 * HOSTS
        assert max(open_at_most) <= SOCKETS

    async def test_are_closed_at_once_although_the_receiver_does_not_end_tls(self) -> None:
        # `close` of a TLS connection waits for the other side, for 30 s.
        tls = the_authority().issue("127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE_S)

            def serve() -> socket.socket:
                peer = tls.wrap_socket(listener.accept()[0], server_side=True)
                request = b""
                while not request.endswith(BODY):
                    request += peer.recv(65_536)
                peer.sendall(ACCEPTED)
                return socket.socket(fileno=peer.detach())

            def until_closed(peer: socket.socket) -> bool:
                peer.settimeout(PATIENCE_S)
                while peer.recv(65_536):
                    pass
                return True

            serving = asyncio.create_task(asyncio.to_thread(serve))
            async with a_transport(
                ssl_context=the_authority().client_context(), idle_s=3 * PATIENCE_S
            ) as transport:
                url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
                await transport.post(a_request(url))
                with await serving as peer:
                    pool_of(transport).close_idle()
                    is_closed = await asyncio.to_thread(until_closed, peer)

        assert is_closed


async def test_a_receiver_that_does_not_read_keeps_no_descriptor_after_the_timeout() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.settimeout(PATIENCE_S)
    request = SealedRequest(
        f"http://127.0.0.1:{listener.getsockname()[1]}/", HEADERS, bytes(32 << 20), TIMEOUT_S
    )
    async with a_transport() as transport:
        with pytest.raises(AttemptError) as caught:
            await transport.post(request)
        peer, _ = await asyncio.to_thread(listener.accept)
        with peer, listener:
            peer.settimeout(PATIENCE_S)

            def read_to_the_end() -> int:
                total = 0
                while got := peer.recv(1 << 20):
                    total += len(got)
                return total

            try:
                received = await asyncio.to_thread(read_to_the_end)
            except ConnectionResetError:
                received = 0

    assert caught.value.code == "timeout"
    # Had the rest been kept for later, it would have come now.
    assert received < 32 << 20


class TestBusyConnections:
    async def test_make_requests_wait_at_our_own_expense(self) -> None:
        going_on = asyncio.Event()

        async def waits(writer: asyncio.StreamWriter) -> None:
            await going_on.wait()
            writer.write(ACCEPTED)

        async with receiving(waits) as receiver, a_transport(sockets=1) as transport:
            first = asyncio.create_task(transport.post(a_request(receiver.url())))
            await until(lambda: bool(receiver.requests))
            with pytest.raises(LocalResourceError) as caught:
                await transport.post(a_request(receiver.url(), timeout_s=TIMEOUT_S))
            going_on.set()
            answer = await first

        assert caught.value.resource == "connections"
        assert answer.status == 200
        assert len(receiver.requests) == 1

    async def test_of_one_host_are_told_apart(self) -> None:
        async with (
            receiving(hostile.silent()) as receiver,
            a_transport(connections_per_host=1) as transport,
        ):
            first = asyncio.create_task(transport.post(a_request(receiver.url())))
            await until(lambda: bool(receiver.requests))
            with pytest.raises(LocalResourceError) as caught:
                await transport.post(a_request(receiver.url(), timeout_s=TIMEOUT_S))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

        assert caught.value.resource == "connections_per_host"

    async def test_leave_the_whole_timeout_to_a_request_that_waited_for_them(self) -> None:
        timeout_s = 1.0

        async def slow(writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.7 * timeout_s)
            writer.write(ACCEPTED)

        async with receiving(slow) as receiver, a_transport(sockets=1) as transport:
            posts = [transport.post(a_request(receiver.url(), timeout_s=timeout_s)) for _ in "ab"]
            answers = await asyncio.gather(*posts)

        assert [answer.status for answer in answers] == [200, 200]

    async def test_are_free_again_after_any_failure(self) -> None:
        with hostile.a_closed_port() as port:
            async with a_transport(sockets=1) as transport:
                for _ in range(3):
                    with pytest.raises(AttemptError) as caught:
                        await transport.post(a_request(f"http://127.0.0.1:{port}/"))
                    assert caught.value.code == "connection_refused"
                assert pool_of(transport).open_count == 0


class TestAKeptConnectionThatBreaks:
    async def test_is_replaced_within_the_attempt(self) -> None:
        async with losing({2: None}) as (port, seen), a_transport() as transport:
            answers = [
                await transport.post(a_request(f"http://127.0.0.1:{port}/")) for _ in range(2)
            ]

        assert [answer.status for answer in answers] == [200, 200]
        assert seen == [1, 1, 2]

    async def test_is_replaced_once_only(self) -> None:
        async with losing({2: None, 3: None}) as (port, seen), a_transport() as transport:
            await transport.post(a_request(f"http://127.0.0.1:{port}/"))
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request(f"http://127.0.0.1:{port}/"))

        assert caught.value.code == "connection_reset"
        assert seen == [1, 1, 2]

    async def test_is_not_replaced_by_another_kept_one(self) -> None:
        async with losing({}) as (port, seen), a_transport() as transport:
            url = f"http://127.0.0.1:{port}/"
            # Two connections, both kept.
            await asyncio.gather(*(transport.post(a_request(url)) for _ in "ab"))
            assert sorted(seen) == [1, 2]
            kept = len(seen)
        async with losing({3: None}) as (port, seen), a_transport() as transport:
            url = f"http://127.0.0.1:{port}/"
            await asyncio.gather(*(transport.post(a_request(url)) for _ in "ab"))
            answer = await transport.post(a_request(url))

        assert kept == 2
        assert answer.status == 200
        assert seen[3] == 3

    async def test_is_not_replaced_once_a_byte_of_the_answer_came(self) -> None:
        async with losing({2: b"HTTP/1.1 200"}) as (port, seen), a_transport() as transport:
            await transport.post(a_request(f"http://127.0.0.1:{port}/"))
            with pytest.raises(AttemptError):
                await transport.post(a_request(f"http://127.0.0.1:{port}/"))

        assert seen == [1, 1]

    async def test_is_an_attempt_where_it_was_new(self) -> None:
        async with losing({1: None}) as (port, seen), a_transport() as transport:
            with pytest.raises(AttemptError) as caught:
                await transport.post(a_request(f"http://127.0.0.1:{port}/"))

        assert caught.value.code == "connection_reset"
        assert seen == [1]
