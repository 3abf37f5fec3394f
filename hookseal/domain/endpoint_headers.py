"""Which custom headers a tenant may have sent along with its deliveries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hookseal.errors import InvalidHeaderError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADERS_MAX = 20
NAME_MAX = 128
VALUE_MAX = 1024

_FIELD = "headers"
# RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5, without the obsolete bytes above ASCII: servers differ on them.
_VALUE = re.compile(r"[\t\x20-\x7e]*")

_RESERVED = frozenset(
    {
        # Where one message ends and the next begins; a second opinion is smuggling
        # (RFC 9112 section 11.2).
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
    """Return the headers as they will be sent, if all may be sent.

    Names keep their spelling; space around a value is dropped, since it is not part of
    the value (RFC 9110 section 5.5).

    Raises:
        InvalidHeaderError: `headers_too_many`, `header_name`, `header_too_long`,
            `header_reserved`, `header_value`. No message holds a value: it may be a
            secret.
    """
    if len(headers) > HEADERS_MAX:
        raise InvalidHeaderError(
            "headers_too_many", f"Give at most {HEADERS_MAX} headers.", field=_FIELD
        )
    checked: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        _check_name(name)
        if name.lower() in seen:
            raise InvalidHeaderError(
                "header_name", f"Give {name} once: case makes no difference.", field=_FIELD
            )
        seen.add(name.lower())
        checked[name] = _checked_value(name, value)
    return checked


def _check_name(name: str) -> None:
    if len(name) > NAME_MAX:
        raise InvalidHeaderError(
            "header_too_long", f"Shorten the name to {NAME_MAX} characters.", field=_FIELD
        )
    if not _TOKEN.fullmatch(name):
        raise InvalidHeaderError(
            "header_name",
            "Build a name of letters, digits and hyphens, without a space or a colon.",
            field=_FIELD,
        )
    # Gateways of the CGI kind read an underscore as a hyphen.
    plain = name.lower().replace("_", "-")
    if plain in _RESERVED or plain.startswith(_RESERVED_PREFIXES):
        raise InvalidHeaderError(
            "header_reserved", f"{name} is set by the sender; choose another name.", field=_FIELD
        )


def _checked_value(name: str, value: str) -> str:
    if not _VALUE.fullmatch(value):
        raise InvalidHeaderError(
            "header_value",
            f"Keep to printable ASCII and tabs in the value of {name}.",
            field=_FIELD,
        )
    trimmed = value.strip(" \t")
    if len(trimmed) > VALUE_MAX:
        raise InvalidHeaderError(
            "header_too_long",
            f"Shorten the value of {name} to {VALUE_MAX} characters.",
            field=_FIELD,
        )
    return trimmed
