"""Maps aiohttp's errors to the engine's codes.

The texts are constant: a library's message may quote addresses, URL queries, and the receiver.
"""

from __future__ import annotations

import errno
import ssl
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from hookseal.delivery.local_resources import exhausted_resource
from hookseal.errors import AttemptError, BlockedAddressError, LocalResourceError, SealError
from hookseal.outbound.guard import RefusedAddressError

_MESSAGES: Final = {
    "timeout": "The endpoint did not answer in time; answer first and work afterwards.",
    "dns_failed": "The endpoint's host does not resolve; check its DNS records.",
    "connection_refused": "The endpoint's host refuses connections; check that it listens.",
    "connection_reset": "The endpoint closed the connection before its answer was complete.",
    "connection_failed": "hookseal cannot connect to the endpoint; check that it is reachable.",
    "tls_failed": (
        "The TLS handshake with the endpoint failed; check that its certificate is valid for the "
        "host and its chain complete."
    ),
    "response_invalid": "The endpoint's answer is not valid HTTP/1.1.",
    "response_too_large": "The endpoint's answer is too large; answer with an empty body.",
}

_CODES: Final = (
    (aiohttp.ClientResponseError, "response_invalid"),
    (aiohttp.ClientPayloadError, "response_invalid"),
    (HttpProcessingError, "response_invalid"),
    (aiohttp.ServerDisconnectedError, "connection_reset"),
)
_RESET: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def attempt_error(code: str) -> AttemptError:
    """Return the error of a code, with its constant text."""
    return AttemptError(code, _MESSAGES[code])


def request_invalid() -> SealError:
    """Return the error of a request that HTTP cannot express."""
    return SealError(
        "request_invalid",
        "No HTTP request can be built from the endpoint's URL and headers; register them again.",
    )


def fault_of(error: Exception) -> AttemptError | SealError | LocalResourceError:
    """Return our error for an error of an attempt."""
    if isinstance(error, AttemptError | SealError | LocalResourceError):
        return error
    if isinstance(error, aiohttp.ClientConnectorError):
        return _not_connected(error)
    if resource := exhausted_resource(error):
        return LocalResourceError(resource)
    if isinstance(error, OSError):
        return attempt_error(_code_of(error))
    # aiohttp's InvalidURL, and its error for a line feed in a header.
    if isinstance(error, ValueError | TypeError):
        return request_invalid()
    return attempt_error(
        next((code for kind, code in _CODES if isinstance(error, kind)), "connection_failed")
    )


def _not_connected(error: aiohttp.ClientConnectorError) -> AttemptError:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return attempt_error("dns_failed")
    if isinstance(error.os_error, RefusedAddressError):
        return BlockedAddressError()
    return attempt_error(_code_of(error.os_error))


def _code_of(error: OSError) -> str:
    # aiohttp keeps the cause of an error on an established connection in `__cause__`.
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "tls_failed"
    if error.errno == errno.ECONNREFUSED:
        return "connection_refused"
    # Ours and aiohttp's have no errno, the system's ETIMEDOUT has one.
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "timeout"
    # asyncio's error for an end in the middle of a handshake has no errno.
    if error.errno in _RESET or isinstance(error, ConnectionError):
        return "connection_reset"
    return "connection_failed"
