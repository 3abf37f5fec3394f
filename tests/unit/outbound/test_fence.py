"""Between the last look at the fence and the kernel there is nothing that waits."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from hookseal.delivery.ports import NotSentError
from tests import hostile
from tests.certificates import the_authority
from tests.hostile import ACCEPTED, receiving
from tests.outbound import a_request, a_transport

if TYPE_CHECKING:
    from collections.abc import Iterator

SENT = b"POST /hook HTTP/1.1\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def arrived(peer: socket.socket) -> bool:
    """Whether the kernel has anything for the peer, at this very moment."""
    try:
        return bool(peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


async def test_a_request_that_may_not_go_out_any_more_does_not() -> None:
    async with (
        receiving(hostile.answering(ACCEPTED), keep_alive=True) as receiver,
        a_transport() as transport,
    ):
        with pytest.raises(NotSentError):
            await transport.post(a_request(receiver.url()), lambda: False)
        connections, requests = receiver.connections, list(receiver.requests)

        answer = await transport.post(a_request(receiver.url()), lambda: True)

    assert (requests, answer.status) == ([], 200)
    # The connection that was dialled in vain serves the next one.
    assert connections <= 1
    assert receiver.connections == 1


async def test_it_is_asked_once_the_connection_is_there() -> None:
    async with receiving(hostile.answering(ACCEPTED)) as receiver, a_transport() as transport:
        asked_at: list[int] = []

        def may_send() -> bool:
            asked_at.append(len(transport._connector._acquired))  # type: ignore[union-attr]
            return True

        await transport.post(a_request(receiver.url()), may_send)

    assert asked_at == [1]


async def test_what_is_written_is_with_the_kernel_before_anything_else_runs(
    listener: socket.socket,
) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
    peer, _ = await asyncio.to_thread(listener.accept)
    with peer:
        before = arrived(peer)

        transport.write(SENT)

        assert (before, arrived(peer)) == (False, True)
    transport.close()


async def test_nor_does_tls_keep_it_back(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    server = the_authority().issue("127.0.0.1")
    # Of TLS 1.3 the server's tickets would come between, and with them a turn of the loop.
    server.maximum_version = ssl.TLSVersion.TLSv1_2

    def accepted() -> ssl.SSLSocket:
        peer, _ = listener.accept()
        peer.settimeout(10)
        return server.wrap_socket(peer, server_side=True)

    accepting = asyncio.create_task(asyncio.to_thread(accepted))
    transport, _ = await loop.create_connection(
        asyncio.Protocol, *listener.getsockname(), ssl=the_authority().client_context()
    )
    with await accepting as peer, socket.socket(fileno=peer.detach()) as bare:
        before = arrived(bare)

        transport.write(SENT)

        assert (before, arrived(bare)) == (False, True)
    transport.close()
