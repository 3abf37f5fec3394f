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

# Below the range from which systems take the ports of outgoing connections (32768 on Linux,
# 49152 elsewhere). A node that is restarted wants its port back, and while it is away its
# clients keep dialling it: each dial takes a port of that range and can take this very one.
_LOWEST = 20_000
_COUNT = 12_000

T = TypeVar("T")


def free_ports(count: int) -> list[int]:
    """Return different ports on which nothing listens."""
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
    """Start something on free ports; retry once on others if a port was taken meanwhile.

    Raises:
        BrokerError: What `start` raises; `broker_port_taken` the second time.
    """
    try:
        return start(free_ports(count))
    except BrokerError as error:
        if error.code != PORT_TAKEN:
            raise
    return start(free_ports(count))
