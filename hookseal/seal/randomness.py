"""Sources of randomness for encryption."""

from __future__ import annotations

import os
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_P256 = ec.SECP256R1()


class Randomness(Protocol):
    """Everything random in a sealed body, but for the seed of RSA-OAEP.

    That seed (RFC 8017 section 7.1.1, step 2d) is drawn inside OpenSSL, and
    `cryptography` gives no way to hand one in.
    """

    def octets(self, count: int) -> bytes:
        """Return this many random bytes."""
        ...

    def p256(self) -> ec.EllipticCurvePrivateKey:
        """Return a fresh private key on P-256."""
        ...

    def x25519(self) -> X25519PrivateKey:
        """Return a fresh X25519 private key."""
        ...


class _OperatingSystem:
    """The kernel's generator, and OpenSSL's, which reseeds after a fork."""

    __slots__ = ()

    def octets(self, count: int) -> bytes:
        return os.urandom(count)

    def p256(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(_P256)

    def x25519(self) -> X25519PrivateKey:
        return X25519PrivateKey.generate()


OS: Randomness = _OperatingSystem()
