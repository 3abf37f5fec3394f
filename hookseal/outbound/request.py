"""One HTTP/1.1 request (RFC 9112) as bytes, with a prepared head.

aiohttp builds each request with about forty calls. Ours are alike: `POST`, a body of known length,
headers of the endpoint and of the encryption. So only the parts that differ between attempts are
written for each of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import aiohttp

from hookseal.outbound.faults import request_invalid

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Mapping

    from aiohttp.client_reqrep import ConnectionKey
    from yarl import URL

# RFC 9110 section 5.5: no control character but the tab.
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# These are ours to say (RFC 9112 section 6): a second one would move the body's end.
_FRAMING: Final = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class Destination(NamedTuple):
    """Where an endpoint is, and the constant head of its requests.

    Attributes:
        dial: What aiohttp's connector needs to find or make a connection; never sent.
        key: What connections to it are kept under.
        head: The request line and the headers that are always the same.
    """

    dial: aiohttp.ClientRequest
    key: ConnectionKey
    head: str


def destination_of(url: URL, loop: AbstractEventLoop) -> Destination:
    """Return the part that all requests to a URL share.

    Raises:
        ValueError: There is no host in it.
    """
    head = (
        f"POST {url.raw_path_qs} HTTP/1.1\r\n"
        f"Host: {url.host_port_subcomponent}\r\n"
        # Bodies as they are: nothing here would inflate them.
        "Accept-Encoding: identity\r\n"
    )
    dial = aiohttp.ClientRequest("POST", url, loop=loop)
    return Destination(dial, dial.connection_key, head)


def message_of(destination: Destination, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the whole request.

    Raises:
        SealError: `request_invalid`, a header has a character that would end its line, or
            says where the body ends.
    """
    if not _FRAMING.isdisjoint(map(str.lower, headers)):
        raise request_invalid()
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # The line ends that stand here by right come off; one too many is one smuggled in.
    if _FORBIDDEN.search(fields.replace("\r\n", "", len(headers))):
        raise request_invalid()
    head = f"{destination.head}{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
