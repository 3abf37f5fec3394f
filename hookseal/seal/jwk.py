"""A public key as a JWK (RFC 7517), and the checks that PEM and JWK share."""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from hookseal.domain.tenant import PublicKey
from hookseal.errors import InvalidKeyError
from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    _Kind = tuple[str, Callable[[Mapping[str, Any]], PublicKey]]

RSA_BITS_MIN = 2048
RSA_BITS_MAX = 4096
EXPONENT_MIN = 65_537
# An exponent as large as the modulus makes each encryption some 70 times slower.
EXPONENT_MAX = 2**32
X25519_BYTES = 32
_COORDINATE_BYTES = 32
_SMALL_FACTOR_MAX = 2000

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4, RFC 8037 section 2; `priv` is that of the
# post-quantum kinds of key.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

# For a text that is cut short, or was never JSON.
_PRIVATE_IN_TEXT = re.compile(rb"""["'](?:d|p|q|dp|dq|qi|oth|priv)["']\s*:""")

# RFC 7518 section 4.1. A key bound to another one of these is for encryption, but the receiver's
# library may refuse to use it with ours.
_KEY_MANAGEMENT = re.compile(r"RSA1_5|RSA-OAEP(-(256|384|512))?|ECDH-ES(\+A(128|192|256)KW)?")
_ENCRYPTING_OPERATIONS = frozenset({"encrypt", "wrapKey", "deriveKey", "deriveBits"})


def refusal(code: str, message: str) -> InvalidKeyError:
    """Return the error; the message must not contain the input."""
    return InvalidKeyError(code, message, field="public_key")


def private_key_submitted() -> InvalidKeyError:
    """Return the refusal of a private key."""
    return refusal(
        "private_key_submitted",
        "This is a private key. It was not stored. Treat it as compromised: generate a new pair "
        "and send the public key.",
    )


def not_for_encryption(name: str) -> InvalidKeyError:
    """Return the refusal of a signing key."""
    return refusal("key_not_for_encryption", f"{name} signs; send an X25519, P-256 or RSA key.")


def rsa_key(n: int, e: int) -> PublicKey:
    """Return the RSA key of modulus `n` and public exponent `e`, or raise InvalidKeyError."""
    bits = n.bit_length()
    if bits < RSA_BITS_MIN:
        raise refusal("key_too_small", f"RSA key has {bits} bits; at least {RSA_BITS_MIN}.")
    if bits > RSA_BITS_MAX:
        raise refusal("key_too_large", f"RSA key has {bits} bits; at most {RSA_BITS_MAX}.")
    if not EXPONENT_MIN <= e <= EXPONENT_MAX or e % 2 == 0:
        raise refusal(
            "key_bad_exponent", "The RSA public exponent must be odd, at least 65537, below 2^32."
        )
    if n < 0 or n % 2 == 0:
        raise refusal("key_invalid", "The RSA modulus is not a product of two odd primes.")
    # Refusing it protects its owner: anyone can read what is encrypted to it.
    if math.gcd(n, _SMALL_FACTORS) != 1 or math.isqrt(n) ** 2 == n:
        raise refusal("key_weak", "Anybody can factor this RSA modulus. Generate a new key.")
    return _public_jwk("RSA-OAEP-256", kty="RSA", n=_encoded_uint(n), e=_encoded_uint(e))


def p256_key(point: bytes) -> PublicKey:
    """Return the P-256 key of an encoded point (SEC 1 section 2.3.3), or raise InvalidKeyError."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise refusal("key_invalid", "The coordinates are not a point of P-256.") from None
    numbers = key.public_numbers()
    x, y = (base64url.encode(each.to_bytes(_COORDINATE_BYTES)) for each in (numbers.x, numbers.y))
    return _public_jwk("ECDH-ES", kty="EC", crv="P-256", x=x, y=y)


def x25519_key(u: bytes) -> PublicKey:
    """Return the X25519 key of a u-coordinate (RFC 7748 section 5), or raise InvalidKeyError."""
    if len(u) != X25519_BYTES:
        raise refusal("key_invalid", f"An X25519 key has {X25519_BYTES} bytes, not {len(u)}.")
    return _public_jwk("ECDH-ES", kty="OKP", crv="X25519", x=base64url.encode(u))


def read_jwk(text: bytes) -> PublicKey:
    """Read a public key from JSON text; raises as `hookseal.seal.keys.parse_public_key`."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        if _PRIVATE_IN_TEXT.search(text):
            raise private_key_submitted() from None
        raise refusal("key_format", "This JWK is not valid JSON. Send all of it.") from None
    if any(_is_private(value) for value in _objects(document)):
        raise private_key_submitted()
    if not isinstance(document, dict) or "keys" in document:
        raise _not_one_key(document)
    # Some serializers write absent members as null.
    jwk = {name: value for name, value in document.items() if value is not None}
    alg, read = _kind(jwk)
    _check_purpose(jwk, alg)
    return read(jwk)


def _objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a document; not recursive, as hostile JSON nests deeply."""
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


def _is_private(jwk: dict[str, Any]) -> bool:
    # Every symmetric key has a `k`; that kind is refused by its type.
    names = _PRIVATE_MEMBERS - {"k"} if jwk.get("kty") == "oct" else _PRIVATE_MEMBERS
    return any(jwk.get(name) is not None for name in names)


def _not_one_key(document: object) -> InvalidKeyError:
    keys = document.get("keys") if isinstance(document, dict) else document
    if isinstance(keys, list) and len(keys) > 1:
        return refusal("key_multiple", f"These are {len(keys)} keys; send them one by one.")
    return refusal("key_format", 'Send the JWK itself, a JSON object with a "kty".')


def _kind(jwk: dict[str, Any]) -> _Kind:
    kty, crv = jwk.get("kty"), jwk.get("crv")
    if not isinstance(kty, str):
        raise refusal("key_format", 'This is JSON, but no JWK: it has no "kty".')
    if kty == "oct":
        raise refusal(
            "key_unsupported", "This is a symmetric key. It was not stored. Send a public key."
        )
    if kty == "OKP" and crv in ("Ed25519", "Ed448"):
        raise not_for_encryption(crv)
    kind = _KINDS.get((kty, crv if isinstance(crv, str) else None))
    if kind is None:
        raise refusal("key_unsupported", "Send an RSA, P-256 or X25519 public key.")
    return kind


def _check_purpose(jwk: Mapping[str, Any], alg: str) -> None:
    if jwk.get("use", "enc") != "enc":
        raise refusal("key_not_for_encryption", '"use" must be "enc" (RFC 7517 section 4.2).')
    # WebCrypto exports the public key of an ECDH pair with an empty list.
    operations = jwk.get("key_ops") or ["encrypt"]
    if not isinstance(operations, list) or not any(
        isinstance(each, str) and each in _ENCRYPTING_OPERATIONS for each in operations
    ):
        raise refusal("key_not_for_encryption", '"key_ops" do not allow encryption.')
    bound_to = jwk.get("alg", alg)
    if bound_to == alg:
        return
    if isinstance(bound_to, str) and _KEY_MANAGEMENT.fullmatch(bound_to):
        raise refusal(
            "key_unsupported",
            f'The key\'s "alg" binds it to {bound_to}; hookseal encrypts with {alg}. Send a key '
            "for that, or leave the member out.",
        )
    raise refusal("key_not_for_encryption", f'The key\'s "alg" must be {alg} or left out.')


def _p256(jwk: Mapping[str, Any]) -> PublicKey:
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    # RFC 7518 section 6.2.1.2: full size, zeros in front included.
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise refusal("key_invalid", f'"x" and "y" of P-256 have {_COORDINATE_BYTES} bytes each.')
    return p256_key(b"\x04" + x + y)


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if value is None:
        raise refusal("key_invalid", f'The JWK has no "{name}".')
    try:
        if isinstance(value, str):
            return base64url.decode(value)
    except ValueError:
        pass
    raise refusal("key_invalid", f'"{name}" must be base64url without padding (RFC 7515).')


def _uint(jwk: Mapping[str, Any], name: str) -> int:
    octets = _octets(jwk, name)
    # A second spelling would give the key a second thumbprint.
    if not octets or (octets[0] == 0 and octets != b"\x00"):
        raise refusal("key_invalid", f'"{name}" must not begin with a zero byte (RFC 7518).')
    return int.from_bytes(octets)


def _public_jwk(alg: str, *, kty: str, crv: str | None = None, **members: bytes) -> PublicKey:
    jwk = {"kty": kty, **({"crv": crv} if crv else {})}
    jwk |= {name: value.decode() for name, value in members.items()}
    # RFC 7638 section 3: the required members, sorted, without white space.
    digest = hashlib.sha256(orjson.dumps(jwk, option=orjson.OPT_SORT_KEYS)).digest()
    return PublicKey(base64url.encode(digest).decode(), alg, jwk)


def _encoded_uint(number: int) -> bytes:
    """RFC 7518 section 2, Base64urlUInt."""
    return base64url.encode(number.to_bytes((number.bit_length() + 7) // 8))


def _product_of_small_primes() -> int:
    candidates = range(3, _SMALL_FACTOR_MAX, 2)
    return math.prod(p for p in candidates if all(p % q for q in range(3, math.isqrt(p) + 1, 2)))


_SMALL_FACTORS = _product_of_small_primes()
_KINDS: Mapping[tuple[str, str | None], _Kind] = {
    ("RSA", None): ("RSA-OAEP-256", lambda jwk: rsa_key(_uint(jwk, "n"), _uint(jwk, "e"))),
    ("EC", "P-256"): ("ECDH-ES", _p256),
    ("OKP", "X25519"): ("ECDH-ES", lambda jwk: x25519_key(_octets(jwk, "x"))),
}
