"""Derives keys from the master key, and encodes parts unambiguously."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32


def derived(master_key: bytes, info: bytes, *, length: int = KEY_BYTES) -> bytes:
    """Return HKDF-SHA256 (RFC 5869) of the master key, without a salt; `length` is in bytes.

    Keys with different `info`, their purpose, are independent of each other.
    """
    return HKDF(hashes.SHA256(), length, salt=None, info=info).derive(master_key)


def framed(*parts: bytes) -> bytes:
    """Return the parts, each behind its length as four bytes, big endian: an injective encoding."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)
