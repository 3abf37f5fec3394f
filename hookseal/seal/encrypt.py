"""Encrypt to a tenant's public key: JWE Flattened JSON (RFC 7516 section 7.2.2).

Encrypt only, three kinds of key, AES-256-GCM (RFC 7518 section 5.3):

- RSA: `RSA-OAEP-256` (RFC 7518 section 4.3)
- P-256: `ECDH-ES`, direct key agreement (RFC 7518 section 4.6)
- X25519: the same (RFC 8037 section 3.2)

All header parameters are protected, so that joining the members with dots gives the
compact form, for receivers whose library knows no other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hookseal.seal import base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CEK_BYTES = 32
_IV_BYTES = 12  # RFC 7518 section 5.3
_TAG_BYTES = 16
_COORDINATE_BYTES = 32

_P256 = ec.SECP256R1()
_ECDH = ec.ECDH()
_SHA256 = hashes.SHA256()
_OAEP = padding.OAEP(padding.MGF1(_SHA256), _SHA256, None)


class Randomness:
    """The kernel's generator, and OpenSSL's, which reseeds after a fork. Test vectors override it.

    The seed of RSA-OAEP (RFC 8017 section 7.1.1, step 2d) is drawn inside OpenSSL, and
    `cryptography` does not let the caller supply it.
    """

    __slots__ = ()

    def octets(self, count: int) -> bytes:
        """Return this many random bytes."""
        return os.urandom(count)

    def p256(self) -> ec.EllipticCurvePrivateKey:
        """Return a new private key on P-256."""
        return ec.generate_private_key(_P256)

    def x25519(self) -> X25519PrivateKey:
        """Return a new X25519 private key."""
        return X25519PrivateKey.generate()


OS = Randomness()


class _Recipient(NamedTuple):
    """The secret content encryption key, and the encoded members that belong to the recipient.

    `encrypted_key` is empty with key agreement.
    """

    cek: bytes
    protected: bytes
    encrypted_key: bytes


if TYPE_CHECKING:
    _Address = Callable[[Randomness], _Recipient]


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """A tenant's public key; `address` generates a content encryption key for it."""

    kid: str
    alg: str
    address: _Address = field(repr=False, compare=False)


def encryption_key(kid: str, jwk: Mapping[str, str]) -> EncryptionKey:
    """Prepare a JWK with its required members only; raises ValueError if they are no key."""
    alg, prepare = _KINDS[jwk.get("crv", jwk["kty"])]
    header = b'{"alg":"%b","enc":"A256GCM","kid":"%b","cty":"json"' % (alg.encode(), kid.encode())
    members = {name: base64url.decode(jwk[name]) for name in jwk.keys() - {"kty", "crv"}}
    return EncryptionKey(kid, alg, prepare(header, members))


def encrypt(plaintext: bytes, key: EncryptionKey, *, randomness: Randomness = OS) -> bytes:
    """Return the JWE."""
    recipient = key.address(randomness)
    iv = randomness.octets(_IV_BYTES)
    ciphertext, tag = seal_content(recipient.cek, iv, plaintext, aad=recipient.protected)
    # An empty key must be absent (RFC 7516 section 7.2.1).
    wrapped = recipient.encrypted_key and b'"encrypted_key":"%b",' % recipient.encrypted_key
    return b'{"protected":"%b",%b"iv":"%b","ciphertext":"%b","tag":"%b"}' % (
        recipient.protected,
        wrapped,
        base64url.encode(iv),
        base64url.encode(ciphertext),
        base64url.encode(tag),
    )


def seal_content(cek: bytes, iv: bytes, plaintext: bytes, *, aad: bytes) -> tuple[bytes, bytes]:
    """Return ciphertext and tag of AES-GCM; `iv` is 12 bytes, never twice with the same key."""
    sealed = AESGCM(cek).encrypt(iv, plaintext, aad)
    return sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:]


def other_info(enc: bytes, key_bits: int, *, apu: bytes = b"", apv: bytes = b"") -> bytes:
    """Return the OtherInfo of a directly agreed key (RFC 7518 section 4.6.2)."""
    parts = b"".join(len(part).to_bytes(4) + part for part in (enc, apu, apv))
    return parts + key_bits.to_bytes(4)


def concat_kdf(shared_secret: bytes, info: bytes, key_bytes: int) -> bytes:
    """Return the content encryption key: the Concat KDF of NIST SP 800-56A, with SHA-256."""
    return ConcatKDFHash(_SHA256, key_bytes, info).derive(shared_secret)


_AGREED_FOR_A256GCM = other_info(b"A256GCM", _CEK_BYTES * 8)


def _for_rsa(header: bytes, members: Mapping[str, bytes]) -> _Address:
    n, e = int.from_bytes(members["n"]), int.from_bytes(members["e"])
    public = rsa.RSAPublicNumbers(e, n).public_key()
    protected = base64url.encode(header + b"}")

    def address(randomness: Randomness) -> _Recipient:
        cek = randomness.octets(_CEK_BYTES)
        return _Recipient(cek, protected, base64url.encode(public.encrypt(cek, _OAEP)))

    return address


def _for_p256(header: bytes, members: Mapping[str, bytes]) -> _Address:
    point = b"\x04" + members["x"] + members["y"]
    public = ec.EllipticCurvePublicKey.from_encoded_point(_P256, point)
    epk = header + b',"epk":{"kty":"EC","crv":"P-256","x":"%b","y":"%b"}}'

    def address(randomness: Randomness) -> _Recipient:
        own = randomness.p256()
        point = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        x, y = point[1 : 1 + _COORDINATE_BYTES], point[1 + _COORDINATE_BYTES :]
        protected = base64url.encode(epk % (base64url.encode(x), base64url.encode(y)))
        return _agreed(own.exchange(_ECDH, public), protected)

    return address


def _for_x25519(header: bytes, members: Mapping[str, bytes]) -> _Address:
    public = X25519PublicKey.from_public_bytes(members["x"])
    epk = header + b',"epk":{"kty":"OKP","crv":"X25519","x":"%b"}}'

    def address(randomness: Randomness) -> _Recipient:
        own = randomness.x25519()
        x = own.public_key().public_bytes_raw()
        protected = base64url.encode(epk % base64url.encode(x))
        return _agreed(own.exchange(public), protected)

    return address


def _agreed(shared_secret: bytes, protected: bytes) -> _Recipient:
    return _Recipient(concat_kdf(shared_secret, _AGREED_FOR_A256GCM, _CEK_BYTES), protected, b"")


_KINDS: Mapping[str, tuple[str, Callable[[bytes, Mapping[str, bytes]], _Address]]] = {
    "RSA": ("RSA-OAEP-256", _for_rsa),
    "P-256": ("ECDH-ES", _for_p256),
    "X25519": ("ECDH-ES", _for_x25519),
}
