"""Decides which addresses are dialled, when the socket is created.

This is the last moment before a packet leaves, and the only place that sees every address. IP
literals never pass a resolver, a name may resolve differently each time, and one answer may hold
public and private addresses.
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
"""Called for each refusal with address, port and reason. For the operator's log only."""

_REFUSED: Final = "address refused"
# An answer may hold thousands, and aiohttp would dial all of them, then all but the
# first, and so on: whoever owns the name would have us flood someone else.
_ADDRESSES_MAX: Final = 8


class RefusedAddressError(OSError):
    """An address may not be dialled.

    An OSError, since that is what aiohttp expects of a failing socket; without an errno
    and always with the same text. aiohappyeyeballs folds the errors of several addresses
    into a plain OSError as soon as their texts differ, and the class would be lost.
    """

    def __init__(self) -> None:
        super().__init__(_REFUSED)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """The addresses, schemes and ports that the operator allows beyond public https.

    Attributes:
        allow_cidrs: Networks that may be dialled although private.
        deny_cidrs: Networks that may not be dialled, whatever else is said of them.
        allow_http: Whether `http://` endpoints may be dialled, and port 80.
        allow_ports: Ranges of ports besides 443 and 8443, both ends included.
    """

    allow_cidrs: tuple[Network, ...] = ()
    deny_cidrs: tuple[Network, ...] = ()
    allow_http: bool = False
    allow_ports: tuple[tuple[int, int], ...] = ()

    def judge(self, address: str, port: int) -> str | None:
        """Return why an address must not be dialled, or None.

        Args:
            address: An IP address, in text. A name is refused: whoever dials it would
                resolve it once more, to something that nobody judged.
            port: TCP port.
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
    """Return the `socket_factory` of a `TCPConnector` that follows the policy.

    It raises RefusedAddressError instead of creating a socket.
    """

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

    The guard is `socket_factory`; this makes the outcome predictable. If an answer holds an allowed
    address, the attempt ends with the result of that address. Only an answer that is refused as a
    whole counts as blocked. Otherwise the order of the answer would decide, since aiohttp reports
    the last address it tried.
    """

    def __init__(
        self,
        resolver: AbstractResolver,
        policy: EgressPolicy,
        on_blocked: OnBlocked,
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
            # Left over to be refused, and reported, by the socket factory.
            allowed.append(refused.pop(0)[0])
        for answer, reason in refused:
            self._on_blocked(answer["host"], answer["port"], reason)
        if not allowed:
            raise OSError("no address")
        return _in_turns(allowed)[:_ADDRESSES_MAX]

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _in_turns(addresses: Sequence[ResolveResult]) -> list[ResolveResult]:
    # One family after the other: of a host with eight addresses of IPv6 and four of IPv4 none
    # of the latter would be left, and it would be out of reach wherever IPv6 leads nowhere.
    families: dict[int, list[ResolveResult]] = {}
    for address in addresses:
        families.setdefault(address["family"], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]
