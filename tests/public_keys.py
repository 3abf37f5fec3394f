"""Public keys for tests, good and bad: DER by hand, since libraries refuse to write the bad."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.sealed import b64u, b64u_decode, vectors

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSASSA_PSS = "1.2.840.113549.1.1.10"
RSAES_OAEP = "1.2.840.113549.1.1.7"
DSA = "1.2.840.10040.4.1"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
P256 = "1.2.840.10045.3.1.7"
X25519 = "1.3.101.110"
NULL = b"\x05\x00"
E = 65_537


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.insert(0, arc & 0x7F | 0x80)
        content += bytes(septets)
    return tlv(0x06, content)


def spki(algorithm: str, key: bytes, *parameters: bytes, unused_bits: int = 0) -> bytes:
    return sequence(sequence(oid(algorithm), *parameters), tlv(0x03, bytes([unused_bits]), key))


def pem(der: bytes, label: str = "PUBLIC KEY") -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


def rsa_key(n: int, e: int = E) -> bytes:
    return sequence(integer(n), integer(e))


def rsa_pem(n: int, e: int = E, algorithm: str = RSA_ENCRYPTION) -> str:
    return pem(spki(algorithm, rsa_key(n, e), NULL))


def uint(value: int) -> str:
    return b64u(value.to_bytes((value.bit_length() + 7) // 8 or 1))


def rsa_jwk(n: int, e: int = E, /, **members: Any) -> str:
    return json.dumps({"kty": "RSA", "n": uint(n), "e": uint(e)} | members)


def ec_jwk(x: bytes, y: bytes, /, **members: Any) -> str:
    return json.dumps({"kty": "EC", "crv": "P-256", "x": b64u(x), "y": b64u(y)} | members)


def okp_jwk(x: bytes, /, **members: Any) -> str:
    return json.dumps({"kty": "OKP", "crv": "X25519", "x": b64u(x)} | members)


def jwk_of(name: str, **members: Any) -> str:
    """The public key of a frozen vector as a JWK, changed."""
    return json.dumps(vectors()[name].public_jwk | members)


def modulus(name: str = "rsa-2048") -> int:
    return int.from_bytes(b64u_decode(vectors()[name].public_jwk["n"]))


def point() -> tuple[bytes, bytes]:
    jwk = vectors()["p256"].public_jwk
    return b64u_decode(jwk["x"]), b64u_decode(jwk["y"])


def p256_pem(point_octets: bytes, *parameters: bytes) -> str:
    return pem(spki(EC_PUBLIC_KEY, point_octets, *(parameters or (oid(P256),))))


def x25519_pem(octets: bytes, *parameters: bytes) -> str:
    return pem(spki(X25519, octets, *parameters))


def public_pem(key: PublicKeyTypes) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@lru_cache
def a_private_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private(
    encoding: Encoding = Encoding.PEM,
    form: PrivateFormat = PrivateFormat.PKCS8,
    *,
    password: bytes | None = None,
    key: PrivateKeyTypes | None = None,
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return (key or a_private_key()).private_bytes(encoding, form, encryption)
