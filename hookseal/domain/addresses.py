"""Which addresses and ports deliveries may reach.

An explicit list: `ipaddress.is_global` calls multicast, 6to4, NAT64, IPv4-compatible and some
metadata addresses global, and its answers change between Python releases (CVE-2024-4032). The
ranges are those of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), and
metadata services of clouds.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HTTPS_PORTS = frozenset({443, 8443})
_HTTP_PORT = 80

_IPV4_BLOCKED = tuple(
    (IPv4Network(cidr), name)
    for cidr, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

_IPV6_GLOBAL = IPv6Network("2000::/3")
_IPV6_BLOCKED = tuple(
    (IPv6Network(cidr), name)
    for cidr, name in (
        ("2001::/23", "Teredo and ORCHID"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        # Outside of 2000::/3, so refused anyway. They give the message a name.
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
# The well-known prefix carries an IPv4 address in its last 32 bits (RFC 6052 section 2.1).
_NAT64 = IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFF_FFFF


def denied_range(address: Address, deny_cidrs: Iterable[Network]) -> str | None:
    """Return the operator's range that contains an address, or None.

    An IPv4-mapped IPv6 address and one behind NAT64 also count as the IPv4 address they reach.
    """
    reached: list[Address] = [address]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            reached.append(address.ipv4_mapped)
        if address in _NAT64:
            reached.append(IPv4Address(int(address) & _LOW_32_BITS))
    denied = (network for network in deny_cidrs if any(each in network for each in reached))
    return next((f"{network} (denied)" for network in denied), None)


def blocked_range(address: Address, allow_cidrs: Iterable[Network] = ()) -> str | None:
    """Return the blocked range that contains an address, as `127.0.0.0/8 (loopback)`, or None.

    An IPv4-mapped IPv6 address is judged as the IPv4 address it reaches. `allow_cidrs` take
    precedence over the list. If they contain NAT64, the IPv4 address in it is judged instead.
    """
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    # `in` answers False where the versions differ.
    if any(address in network for network in allow_cidrs):
        if isinstance(address, IPv6Address) and address in _NAT64:
            return blocked_range(IPv4Address(int(address) & _LOW_32_BITS), allow_cidrs)
        return None
    ranges: Iterable[tuple[Network, str]]
    ranges = _IPV4_BLOCKED if isinstance(address, IPv4Address) else _IPV6_BLOCKED
    for network, name in ranges:
        if address in network:
            return f"{network} ({name})"
    if isinstance(address, IPv6Address) and address not in _IPV6_GLOBAL:
        return "::/0 (outside of 2000::/3, global unicast)"
    return None


def is_port_allowed(
    port: int, *, allow_http: bool = False, allow_ports: Iterable[tuple[int, int]] = ()
) -> bool:
    """Return whether a port may be dialled: 443, 8443, an allowed one, 80 with `allow_http`."""
    return (
        port in _HTTPS_PORTS
        or (allow_http and port == _HTTP_PORT)
        or any(low <= port <= high for low, high in allow_ports)
    )
