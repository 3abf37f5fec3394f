"""A DNS server on loopback (RFC 1035 section 4): a resolver's answers, in a test's hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, cast

import pycares
from aiohttp.resolver import AsyncResolver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_A, _AAAA = 1, 28
_NAME_ERROR = 3


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`; a name's addresses are asked for anew with each question.

    Attributes:
        zone: From the number of the question, from 1, to the addresses.
        questions: How often each name's IPv4 addresses were asked for.
        silent_under: A domain whose names get no answer at all.
    """

    def __init__(self, zone: dict[str, Callable[[int], list[str]]]) -> None:
        self.zone = zone
        self.questions: Counter[str] = Counter()
        self.silent_under: str | None = None
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, end = _name(data, 12)
        kind = int.from_bytes(data[end : end + 2])
        question = data[12 : end + 4]
        if kind == _A:
            self.questions[name] += 1
        if self.silent_under and name.endswith(self.silent_under):
            return
        known = self.zone.get(name)
        records = []
        if known is not None:
            addresses = [ip_address(text) for text in known(max(self.questions[name], 1))]
            records = [
                b"\xc0\x0c" + kind.to_bytes(2) + b"\x00\x01" + bytes(4)
                + len(address.packed).to_bytes(2) + address.packed
                for address in addresses
                if kind == (_A if isinstance(address, IPv4Address) else _AAAA)
            ]  # fmt: skip
        flags = 0x8180 if known is not None else 0x8180 | _NAME_ERROR
        counts = b"".join(count.to_bytes(2) for count in (1, len(records), 0, 0))
        self.transport.sendto(
            data[:2] + flags.to_bytes(2) + counts + question + b"".join(records), addr
        )

    def resolver(self) -> AsyncResolver:
        """A c-ares resolver that asks nobody else."""
        return AsyncResolver(
            nameservers=["127.0.0.1"],
            udp_port=self.port,
            tcp_port=self.port,
            flags=pycares.ARES_FLAG_NOSEARCH,
            timeout=1.0,
            tries=1,
        )


def _name(data: bytes, start: int) -> tuple[str, int]:
    labels = []
    while length := data[start]:
        labels.append(data[start + 1 : start + 1 + length].decode().lower())
        start += 1 + length
    return ".".join(labels), start + 1


def _always(addresses: list[str], _question: int) -> list[str]:
    return addresses


@asynccontextmanager
async def naming(**names: list[str]) -> AsyncIterator[NameServer]:
    """Serve names (`a_example_com=[…]`) with fixed addresses; `zone` takes what changes."""
    zone: dict[str, Callable[[int], list[str]]] = {
        name.replace("_", "."): partial(_always, addresses) for name, addresses in names.items()
    }
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone), ("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
