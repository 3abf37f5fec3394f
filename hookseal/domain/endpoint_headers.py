"""Custom headers of an endpoint: which names and values are allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hookseal.errors import InvalidHeaderError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS_MAX = 20
NAME_MAX = 128
VALUE_MAX = 1024

# RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5, without the obsolete bytes above ASCII: servers differ on them.
_VALUE = re.compile(r"[\t\x20-\x7e]*")

_RESERVED = frozenset(
    {
        # Message framing: a second value allows request smuggling (RFC 9112 section 11.2).
        "connection",
        "expect",
        "http2-settings",
        "keep-alive",
        "te",  # codespell:ignore te
        "trailer",
        "transfer-encoding",
        "upgrade",
        # Servers and proxies route and authenticate by them.
        "accept-encoding",
        "cookie",
        "forwarded",
        "host",
        "user-agent",
        # Ours.
        "traceparent",
        "tracestate",
    }
)
_RESERVED_PREFIXES = ("content-", "hookseal-", "proxy-", "webhook-", "x-forwarded-")


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers as they are sent, without space around values (RFC 9110 section 5.5).

    Raises InvalidHeaderError: `headers_too_many`, `header_name`, `header_too_long`,
    `header_reserved`, `header_value`. No message holds a value: it may be a secret.
    """
    if len(headers) > HEADERS_MAX:
        raise _refusal("headers_too_many", f"Give at most {HEADERS_MAX} headers.")
    checked: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        _check_name(name)
        if name.lower() in seen:
            raise _refusal(
                "header_name", f"{name} is given twice. Header names are case-insensitive."
            )
        seen.add(name.lower())
        checked[name] = _checked_value(name, value)
    return checked


def _refusal(code: str, message: str) -> InvalidHeaderError:
    return InvalidHeaderError(code, message, field="headers")


def _check_name(name: str) -> None:
    if len(name) > NAME_MAX:
        raise _refusal("header_too_long", f"Shorten the name to {NAME_MAX} characters.")
    if not _TOKEN.fullmatch(name):
        raise _refusal("header_name", "A header name has letters, digits and hyphens only.")
    # Gateways of the CGI kind read an underscore as a hyphen.
    plain = name.lower().replace("_", "-")
    if plain in _RESERVED or plain.startswith(_RESERVED_PREFIXES):
        raise _refusal("header_reserved", f"{name} is set by the sender. Choose another name.")


def _checked_value(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise _refusal("header_value", f"The value of {name} must be printable ASCII and tabs.")
    trimmed = value.strip(" \t")
    if len(trimmed) > VALUE_MAX:
        raise _refusal("header_too_long", f"Shorten the value of {name} to {VALUE_MAX} characters.")
    return trimmed
