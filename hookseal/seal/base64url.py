"""Base64url without padding (RFC 7515 section 2)."""

from __future__ import annotations

import binascii
import re

import pybase64

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")


def encode(octets: bytes) -> bytes:
    """Return the encoding as ASCII bytes."""
    # `padded=False` would do the same, but older releases of pybase64 do not have it.
    return pybase64.b64encode(octets, b"-_").rstrip(b"=")


def decode(text: str) -> bytes:
    """Return the bytes, or raise ValueError for another alphabet, padding, or leftover bits.

    A second spelling of the same bytes would give one key two thumbprints.
    """
    # pybase64 accepts the other alphabet as well, with a warning.
    if not _ALPHABET.fullmatch(text):
        raise ValueError("not base64url without padding")
    try:
        octets = pybase64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None
    if encode(octets) != text.encode():
        raise ValueError("not the canonical base64url of its bytes")
    return octets
