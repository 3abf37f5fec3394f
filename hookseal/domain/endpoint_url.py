"""Which URLs a tenant may register.

The raw text is checked before it is parsed: parsers drop or map characters (yarl drops CR, LF and
TAB), so a check after parsing sees another URL. Then yarl, which also dials it, parses the URL, and
it is checked once more. Names are not resolved here. `hookseal.outbound.guard` checks the resolved
address when it is dialled.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

from yarl import URL

from hookseal.domain.addresses import blocked_range, is_port_allowed
from hookseal.errors import InvalidUrlError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal.domain.addresses import Address, Network

URL_MAX = 2048

_HOST_MAX = 253
_LABEL_MAX = 63
# Code points of a non-ASCII label. IDNA composes up to four into one character.
_UNICODE_LABEL_MAX = 4 * _LABEL_MAX
_PORT_MAX = 65_535
_BAD_CHAR = re.compile(r"[\x00-\x20\x7f\\]")
# Controls, format characters (zero-width, bidi), surrogates, spaces beyond ASCII: invisible to a
# person who compares two URLs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]+)(?::(?P<port>[0-9]+))?")
# RFC 1123 section 2.1: letters, digits, hyphens, 63 characters.
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# UTS #46 section 4: IDNA maps all of these to the dot.
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
# Resolvers read these as a number, so as an IPv4 address in one of its old forms.
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 6761, RFC 6762, RFC 7686, RFC 8375, RFC 9476, and names in private use.
_RESERVED = re.compile(
    r"(.*\.)?(alt|corp|example|home\.arpa|internal|intranet|invalid|lan|local|localhost|onion|test)"
)
_LOOPBACK = IPv4Network("127.0.0.0/8")


def check_url(
    raw: str,
    *,
    allow_http: bool = False,
    allow_ports: Iterable[tuple[int, int]] = (),
    allow_cidrs: Iterable[Network] = (),
    own_hosts: frozenset[str] = frozenset(),
) -> str:
    """Return the canonical form of an endpoint's URL. The canonical form is a fixed point.

    `allow_ports` are ranges besides 443 and 8443, ends included. `own_hosts`, in lower case without
    a final dot, are refused: a delivery to them would be a loop.

    Raises InvalidUrlError with a code for each check, `url_*`.
    """
    _check_text(raw)
    authority = _authority_of(raw, allow_http=allow_http)
    _check_authority(authority)
    try:
        url = URL(raw)
    except ValueError:
        # yarl's text quotes the URL, and its query may hold a secret.
        raise _no_domain_name() from None
    host = url.raw_host or ""
    address = _address_of(host)
    if address is None:
        _check_labels(host)
    if host in own_hosts:
        raise _refusal("url_self", "Give a host that is not our own: this would be a loop.")
    networks = tuple(allow_cidrs)
    if address is None:
        _check_name(host, networks)
    elif (blocked := blocked_range(address, networks)) is not None:
        raise _refusal("url_ip_blocked", f"Give a public address; this one is in {blocked}.")
    if not is_port_allowed(url.port or 0, allow_http=allow_http, allow_ports=allow_ports):
        raise _refusal("url_port", f"Use port 443 or 8443, not {url.port}.")
    canonical = str(url)
    # Non-ASCII characters grow as they are percent-encoded.
    _check_length(canonical)
    return canonical


def _refusal(code: str, message: str) -> InvalidUrlError:
    return InvalidUrlError(code, message, field="url")


def _check_length(text: str) -> None:
    if len(text) > URL_MAX:
        raise _refusal("url_too_long", f"Shorten the URL to {URL_MAX} characters.")


def _check_text(raw: str) -> None:
    if not raw:
        raise _refusal("url_empty", "Give a URL, https://….")
    _check_length(raw)
    if bad := _BAD_CHAR.search(raw):
        raise _refusal(
            "url_bad_char",
            f"Remove or percent-encode U+{ord(bad.group()):04X} at position {bad.start() + 1}.",
        )
    if not raw.isascii():
        for position, sign in enumerate(raw, start=1):
            if unicodedata.category(sign) in _INVISIBLE:
                raise _refusal(
                    "url_malformed",
                    f"Remove the invisible U+{ord(sign):04X} at position {position}.",
                )


def _authority_of(raw: str, *, allow_http: bool) -> str:
    start = _SCHEME.match(raw)
    if start is None:
        raise _refusal("url_not_absolute", "Give an absolute URL, https://host/path.")
    scheme = start.group(1).lower()
    if scheme != "https" and not (scheme == "http" and allow_http):
        raise _refusal("url_scheme", "Use https: no other scheme is supported.")
    authority = re.split(r"[/?#]", raw[start.end() :], maxsplit=1)[0]
    if "@" in authority:
        raise _refusal("url_userinfo", "Remove user and password; use a custom header instead.")
    if "#" in raw:
        raise _refusal("url_fragment", "Remove the fragment (#…): it is never sent.")
    return authority


def _check_authority(authority: str) -> None:
    parts = _AUTHORITY.fullmatch(authority)
    # "%": an encoded character, or an IPv6 zone, which means nothing beyond one machine.
    if parts is None or "%" in authority:
        raise _refusal("url_host", "The host or port is malformed; write host or host:port.")
    # The parser encodes such labels with IDNA, which takes quadratic time: 0.6 s for 2,000
    # different characters.
    if not authority.isascii() and any(
        len(label) > _UNICODE_LABEL_MAX for label in _DOTS.split(parts["host"])
    ):
        raise _no_domain_name()
    # Bounded before int(), which gives up on thousands of digits with an error of its own.
    port = (parts["port"] or "0").lstrip("0")
    if len(port) > len(str(_PORT_MAX)) or int(port or "0") > _PORT_MAX:
        raise _refusal("url_malformed", f"Give a port up to {_PORT_MAX}.")
    if parts["host"].startswith("[") and _ipv6(parts["host"][1:-1]).ipv4_mapped:
        raise _refusal("url_ip_form", "Write the IPv4 address without the IPv6 form around it.")


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise _refusal("url_host", "The text in brackets is not an IPv6 address.") from None


def _no_domain_name() -> InvalidUrlError:
    return _refusal("url_malformed", "The host is not a valid domain name.")


def _address_of(host: str) -> Address | None:
    if ":" in host:
        return _ipv6(host)
    if not _NUMERIC.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        hint = "Write an IPv4 address as four decimal numbers, 198.51.100.7."
        raise _refusal("url_ip_form", hint) from None


def _check_labels(host: str) -> None:
    if len(host) > _HOST_MAX or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise _refusal(
            "url_host",
            "A host label has 1 to 63 letters, digits and inner hyphens, the whole host at most "
            f"{_HOST_MAX} characters.",
        )


def _check_name(host: str, allow_cidrs: tuple[Network, ...]) -> None:
    # On a developer's machine the receiver is at localhost, and the operator allows all of
    # 127.0.0.0/8. The guard still judges the resolved address.
    if host == "localhost" and any(
        isinstance(network, IPv4Network) and network.supernet_of(_LOOPBACK)
        for network in allow_cidrs
    ):
        return
    if "." not in host:
        raise _refusal("url_host_unqualified", "Give a full domain name, like hooks.example.com.")
    if _RESERVED.fullmatch(host):
        raise _refusal("url_host_reserved", "Give a public domain name, not one for private use.")
