"""A transport that may dial loopback, and requests for it."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hookseal.delivery.ports import SealedRequest
from hookseal.outbound.client import HttpTransport
from hookseal.outbound.guard import EgressPolicy

# Long, for what must end by itself; short, for what must be cut off.
PATIENCE_S = 10.0
TIMEOUT_S = 0.2
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
ANY_PORT = ((1, 65_535),)

# What a developer's machine allows.
OPEN = EgressPolicy(allow_cidrs=LOOPBACK, allow_http=True, allow_ports=ANY_PORT)
# All but the address itself would do: whatever is refused is refused for its address.
STRICT = EgressPolicy(allow_cidrs=(), allow_http=True, allow_ports=ANY_PORT)

HEADERS = {
    "content-type": "application/jose+json",
    "webhook-id": "evt_1",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1,c2lnbmF0dXJl",
    "user-agent": "hookseal/test",
}
BODY = b'{"protected":"e30","ciphertext":"AA"}'


def a_transport(policy: EgressPolicy = OPEN, **options: Any) -> HttpTransport:
    return HttpTransport(policy, **options)


def a_request(
    url: str, headers: dict[str, str] | None = None, *, timeout_s: float = PATIENCE_S
) -> SealedRequest:
    return SealedRequest(url, HEADERS if headers is None else headers, BODY, timeout_s)
