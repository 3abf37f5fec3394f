"""Checks whether a broker answers, by a Metadata request over a plain socket.

aiokafka's clients need an event loop, retry on their own and log each refused connection.
"""

from __future__ import annotations

import io
import socket
import struct
import time
from typing import TYPE_CHECKING

from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataResponse_v1

if TYPE_CHECKING:
    from collections.abc import Callable

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
