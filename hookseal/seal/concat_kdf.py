"""From a shared secret to a content encryption key (RFC 7518 section 4.6.2).

The Concat KDF of NIST SP 800-56A, with SHA-256.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

_SHA256 = hashes.SHA256()


def other_info(algorithm: bytes, key_bits: int, *, apu: bytes = b"", apv: bytes = b"") -> bytes:
    """Return the OtherInfo of the derived key.

    Args:
        algorithm: The `enc` header parameter, when the agreed key is used directly.
    """
    parts = b"".join(len(part).to_bytes(4) + part for part in (algorithm, apu, apv))
    return parts + key_bits.to_bytes(4)


def derive(shared_secret: bytes, info: bytes, key_bytes: int) -> bytes:
    """Return the key."""
    return ConcatKDFHash(_SHA256, key_bytes, info).derive(shared_secret)
