"""Reads the three signed headers from any framework's headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hookseal_receiver.errors import VerificationError

HeaderPairs = Iterable[tuple[str | bytes, str | bytes]]
Headers = Mapping[str, str] | Mapping[bytes, bytes] | HeaderPairs

# The id has no dot, because dots delimit what is signed. Of the signatures there are two
# while a secret rotates; the limit leaves room for forty.
_FORMS = {
    "webhook-id": re.compile(r"[\x21-\x2d\x2f-\x7e]{1,128}"),
    "webhook-timestamp": re.compile(r"[0-9]{1,12}"),
    "webhook-signature": re.compile(r"[\x20-\x7e]{1,2048}"),
}


def signed_headers(headers: Headers) -> dict[str, str]:
    """Return `webhook-id`, `webhook-timestamp` and `webhook-signature`, in lower case.

    Args:
        headers: A mapping or pairs; text or bytes; names in any case.

    Raises:
        VerificationError: `headers_invalid`: one is missing, there twice, or malformed.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        known = _text(name).lower()
        if known not in _FORMS:
            continue
        # Of two ids one would be verified and the other one read by somebody else.
        if known in found or not _FORMS[known].fullmatch(_text(value)):
            raise VerificationError("headers_invalid")
        found[known] = _text(value)
    if len(found) != len(_FORMS):
        raise VerificationError("headers_invalid")
    return found


def _text(octets: str | bytes) -> str:
    # Latin-1 never fails, and what is no ASCII fits none of the forms.
    return octets if isinstance(octets, str) else octets.decode("latin-1")
