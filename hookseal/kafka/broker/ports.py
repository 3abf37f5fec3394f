"""Free TCP ports on the loopback address."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

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
