"""From the numbers of a public key to a JWK, or a refusal.

PEM and JWK share these checks.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from hookseal.errors import InvalidKeyError
from hookseal.seal import base64url

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 4096
EXPONENT_MIN = 65_537
# An exponent of the modulus' own size makes each encryption some 70 times slower.
EXPONENT_MAX = 2**32
X25519_BYTES = 32
_COORDINATE_BYTES = 32
_SMALL_FACTOR_MAX = 2000


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A public key that was accepted.

    Attributes:
        kid: Its RFC 7638 thumbprint with SHA-256, 43 base64url characters.
        alg: `RSA-OAEP-256` or `ECDH-ES`.
        jwk: RFC 7517, the required members only.
    """

    kid: str
    alg: str
    jwk: dict[str, str] = field(repr=False)


def refusal(code: str, message: str) -> InvalidKeyError:
    """Return the error; the message must not contain the input."""
    return InvalidKeyError(code, message, field="public_key")


def private_key_submitted() -> InvalidKeyError:
    """Return the refusal of a private key."""
    return refusal(
        "private_key_submitted",
        "This is a private key; we did not store it. Treat it as compromised: make a new "
        "pair and send the public key.",
    )


def rsa(n: int, e: int) -> PublicJwk:
    """Return the RSA key of modulus `n` and public exponent `e`.

    Raises:
        InvalidKeyError: `key_too_small`, `key_too_large`, `key_bad_exponent`,
            `key_invalid`, `key_weak`.
    """
    bits = n.bit_length()
    if bits < RSA_BITS_MIN:
        raise refusal("key_too_small", f"RSA key has {bits} bits; at least {RSA_BITS_MIN}.")
    if bits > RSA_BITS_MAX:
        raise refusal("key_too_large", f"RSA key has {bits} bits; at most {RSA_BITS_MAX}.")
    if not EXPONENT_MIN <= e <= EXPONENT_MAX or e % 2 == 0:
        raise refusal(
            "key_bad_exponent",
            "The RSA public exponent must be at least 65537, odd and below 2^32; "
            "65537 is what everybody uses.",
        )
    if n < 0 or n % 2 == 0:
        raise refusal("key_invalid", "The RSA modulus is no product of two odd primes.")
    # Refusing it protects its owner: anyone can read what is encrypted to it.
    if math.gcd(n, _SMALL_FACTORS) != 1 or math.isqrt(n) ** 2 == n:
        raise refusal("key_weak", "Anybody can factor this RSA modulus; make a new key.")
    return _public_jwk("RSA-OAEP-256", kty="RSA", n=_uint(n), e=_uint(e))


def p256(point: bytes) -> PublicJwk:
    """Return the P-256 key of a point, encoded as in SEC 1 section 2.3.3.

    Raises:
        InvalidKeyError: `key_invalid`, not a point of the curve, or infinity.
    """
    try:
        numbers = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), point
        ).public_numbers()
    except ValueError:
        raise refusal("key_invalid", "The coordinates are no point of P-256.") from None
    x, y = (base64url.encode(v.to_bytes(_COORDINATE_BYTES)) for v in (numbers.x, numbers.y))
    return _public_jwk("ECDH-ES", kty="EC", crv="P-256", x=x, y=y)


def x25519(u: bytes) -> PublicJwk:
    """Return the X25519 key of a u-coordinate (RFC 7748 section 5).

    Raises:
        InvalidKeyError: `key_invalid`.
    """
    if len(u) != X25519_BYTES:
        raise refusal("key_invalid", f"An X25519 key has {X25519_BYTES} bytes, not {len(u)}.")
    return _public_jwk("ECDH-ES", kty="OKP", crv="X25519", x=base64url.encode(u))


def _public_jwk(alg: str, *, kty: str, crv: str | None = None, **members: bytes) -> PublicJwk:
    jwk = {"kty": kty, **({"crv": crv} if crv else {})}
    jwk |= {name: value.decode() for name, value in members.items()}
    # RFC 7638 section 3: the required members, sorted, without white space.
    digest = hashlib.sha256(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS)).digest()
    return PublicJwk(base64url.encode(digest).decode(), alg, jwk)


def _uint(number: int) -> bytes:
    """RFC 7518 section 2, Base64urlUInt."""
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8))


def _product_of_small_primes() -> int:
    candidates = range(3, _SMALL_FACTOR_MAX, 2)
    return math.prod(p for p in candidates if all(p % q for q in range(3, math.isqrt(p) + 1, 2)))


_SMALL_FACTORS = _product_of_small_primes()
