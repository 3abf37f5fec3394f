"""Free TCP ports on the loopback address, and the test whether a broker answers."""

from __future__ import annotations

import io
import secrets
import socket
import struct
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataResponse_v1

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
PORT_TAKEN = "broker_port_taken"

# Below the range of ports of outgoing connections (from 32768 on Linux, from 49152 elsewhere).
# While a node restarts, its clients dial it, and a dial could take the node's own port.
_LOWEST = 20_000
_COUNT = 12_000

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Return this many different ports on which nothing listens."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = _LOWEST + secrets.randbelow(_COUNT)
            listener = held.enter_context(socket.socket())
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
        return ports


def with_free_ports(count: int, start: Callable[[list[int]], T]) -> T:
    """Call `start` with free ports; retry once with other ports after `broker_port_taken`."""
    try:
        return start(free_ports(count))
    except BrokerError as error:
        if error.code != PORT_TAKEN:
            raise
    return start(free_ports(count))


_ANSWER_TIMEOUT_S = 2.0
_PAUSE_S = 0.02
# A list of nodes has some hundred bytes. A server that announces more is no Kafka broker.
_ANSWER_MAX_BYTES = 1024 * 1024
_CORRELATION_ID_BYTES = 4


def node_ids(address: str) -> frozenset[int]:
    """Return the ids of the live nodes that the broker at `host:port` knows, if one answers."""
    try:
        with socket.create_connection(_split(address), _ANSWER_TIMEOUT_S) as connection:
            connection.sendall(_request())
            with connection.makefile("rb") as stream:
                (size,) = struct.unpack(">i", stream.read(4))
                if not _CORRELATION_ID_BYTES < size <= _ANSWER_MAX_BYTES:
                    return frozenset()
                answer = stream.read(size)
        response = MetadataResponse_v1.decode(io.BytesIO(answer[_CORRELATION_ID_BYTES:]))
    except (OSError, ValueError, struct.error):
        return frozenset()
    return frozenset(broker[0] for broker in response.brokers or ())


def accepts(address: str) -> bool:
    """Return whether something accepts connections at `host:port`."""
    try:
        with socket.create_connection(_split(address), _ANSWER_TIMEOUT_S):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until the condition holds or `timeout_s` seconds passed; return whether it holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _request() -> bytes:
    # No topics. From version 1 on, an empty list means none rather than all.
    request = MetadataRequest_v1([])
    header = request.build_request_header(correlation_id=1, client_id="hookseal")
    message: bytes = header.encode() + request.encode()
    return struct.pack(">i", len(message)) + message
