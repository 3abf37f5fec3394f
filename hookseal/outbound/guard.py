"""Refuses addresses when the socket is created.

This is the last step before a packet leaves, and the only one that sees every address. IP literals
pass no resolver, a name may resolve differently each time, and one DNS answer may hold public and
private addresses.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver

from hookseal.domain.addresses import blocked_range, denied_range, is_port_allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.abc import ResolveResult
    from aiohttp.connector import AddrInfoType

    from hookseal.domain.addresses import Network

OnBlocked = Callable[[str, int, str], None]
"""Called for each refused address with port and reason. For the operator's log only."""

_REFUSED: Final = "address refused"
# A DNS answer may hold thousands of addresses. aiohttp would dial them all, and again without the
# first, until none is left: the owner of the name could use hookseal to flood another host.
_ADDRESSES_MAX: Final = 8


class RefusedAddressError(OSError):
    """The policy refuses the address.

    An OSError, as aiohttp expects of a failing socket, without an errno and always with the same
    text: aiohappyeyeballs joins errors with different texts into a plain OSError.
    """

    def __init__(self) -> None:
        super().__init__(_REFUSED)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The addresses, schemes and ports that the operator allows beyond public https.

    Attributes:
        allow_cidrs: Allowed networks that are refused by default.
        deny_cidrs: Refused networks; wins over `allow_cidrs`.
        allow_http: Allows `http://` endpoints, and port 80.
        allow_ports: Ranges of ports besides 443 and 8443, both ends included.
    """

    allow_cidrs: tuple[Network, ...] = ()
    deny_cidrs: tuple[Network, ...] = ()
    allow_http: bool = False
    allow_ports: tuple[tuple[int, int], ...] = ()

    def judge(self, address: str, port: int) -> str | None:
        """Return the reason to refuse an IP address, or None.

        A host name is refused: to dial it would resolve it again, to an address nobody checked.
        """
        try:
            concrete = ip_address(address)
        except ValueError:
            return "no IP address"
        if "%" in address:
            return "IPv6 zone"
        blocked = denied_range(concrete, self.deny_cidrs) or blocked_range(
            concrete, self.allow_cidrs
        )
        if blocked is not None:
            return blocked
        if not is_port_allowed(port, allow_http=self.allow_http, allow_ports=self.allow_ports):
            return "port"
        return None


def socket_factory(
    policy: EgressPolicy, on_blocked: OnBlocked
) -> Callable[[AddrInfoType], socket.socket]:
    """Return the `socket_factory` of a `TCPConnector`; it raises RefusedAddressError."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        address, port = str(sockaddr[0]), int(sockaddr[1])
        reason = policy.judge(address, port)
        if reason is not None:
            on_blocked(address, port, reason)
            raise RefusedAddressError
        return socket.socket(family, kind, protocol)

    return make


class GuardedResolver(AbstractResolver):
    """Removes refused addresses from a resolver's answers.

    `socket_factory` refuses them anyway; this makes the result predictable. With an allowed address
    in the answer, the attempt ends with the result of that address. Otherwise the order of the
    answer would decide, since aiohttp reports the last address it tried.
    """

    def __init__(
        self, resolver: AbstractResolver, policy: EgressPolicy, on_blocked: OnBlocked
    ) -> None:
        self._resolver = resolver
        self._policy = policy
        self._on_blocked = on_blocked

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a host; if there is none, a refused one.

        Raises:
            OSError: The name does not resolve.
        """
        allowed: list[ResolveResult] = []
        refused: list[tuple[ResolveResult, str]] = []
        for answer in await self._resolver.resolve(host, port, family):
            reason = self._policy.judge(answer["host"], answer["port"])
            if reason is None:
                allowed.append(answer)
            else:
                refused.append((answer, reason))
        if not allowed and refused:
            # The socket factory refuses and reports it.
            allowed.append(refused.pop(0)[0])
        for answer, reason in refused:
            self._on_blocked(answer["host"], answer["port"], reason)
        if not allowed:
            raise OSError("no address")
        return _alternating(allowed)[:_ADDRESSES_MAX]

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _alternating(addresses: Sequence[ResolveResult]) -> list[ResolveResult]:
    # Alternate between IPv6 and IPv4: eight IPv6 addresses must not push out all IPv4 addresses,
    # which would make the host unreachable where IPv6 does not work.
    families: dict[int, list[ResolveResult]] = {}
    for address in addresses:
        families.setdefault(address["family"], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]
