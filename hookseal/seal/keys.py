"""The keys of tenants: accepted once, loaded for each attempt.

An unusable key must be refused at its registration: at a delivery it would cost an event. So each
refusal has its code, and a key is accepted only after something was encrypted to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hookseal.errors import InvalidKeyError, SealError
from hookseal.seal.encrypt import EncryptionKey, encrypt, encryption_key
from hookseal.seal.jwk import EXPONENT_MIN, private_key_submitted, read_jwk, refusal
from hookseal.seal.pem import holds_private_key, read_pem, unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from hookseal.domain.tenant import PublicKey

MAX_BYTES = 16 * 1024
_LOADED_KEYS_MAX = 8192
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

KeyKind = Literal["rsa-4096", "rsa-3072", "rsa-2048", "p256", "x25519"]


def parse_public_key(text: str | bytes) -> PublicKey:
    """Accept a public key as a tenant sent it: PEM (SubjectPublicKeyInfo) or JWK.

    The input is never logged, kept or put into an error: it may be a private key.

    Raises InvalidKeyError: `key_too_long` (over 16 KiB), `private_key_submitted` (anywhere in it),
    `key_format` (neither PEM nor JWK), `key_is_certificate`, `key_multiple`,
    `key_not_for_encryption`, `key_unsupported` (neither RSA, P-256 nor X25519), `key_too_small` and
    `key_too_large` (RSA outside of 2048 to 4096 bits), `key_bad_exponent` (RSA, even or outside of
    65537 to 2^32), `key_weak` (easy to factor), `key_invalid` (the numbers are not a key).
    """
    octets = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    public, _ = _accept(octets)
    return public


@lru_cache(maxsize=_LOADED_KEYS_MAX)
def load_public_key(jwk_json: bytes) -> EncryptionKey:
    """Return the key of a JWK that was accepted before, or raise SealError: `key_unusable`."""
    try:
        _, key = _accept(jwk_json)
    except InvalidKeyError:
        raise SealError(
            "key_unusable", "The tenant's active public key cannot encrypt. Register another."
        ) from None
    return key


def generate_private_key(alg: KeyKind) -> tuple[bytes, bytes]:
    """Generate a key pair: the private key as PKCS #8 PEM, the public key as SPKI PEM."""
    private = _GENERATORS[alg]()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def _accept(octets: bytes) -> tuple[PublicKey, EncryptionKey]:
    if len(octets) > MAX_BYTES:
        raise refusal("key_too_long", f"A public key has at most {MAX_BYTES} bytes.")
    if holds_private_key(octets) or holds_private_key(unwrapped(octets)):
        raise private_key_submitted()
    content = octets.removeprefix(_BYTE_ORDER_MARK).strip()
    public = read_jwk(content) if content[:1] in (b"{", b"[") else read_pem(content)
    try:
        key = encryption_key(public.kid, public.jwk)
        # Some keys fail only in use: a modulus that OpenSSL rejects, a point of small order
        # (RFC 7748 section 6.1).
        encrypt(b"", key)
    except ValueError:
        raise refusal("key_invalid", "Nothing can be encrypted to this key.") from None
    return public, key


_GENERATORS: Mapping[KeyKind, Callable[[], PrivateKeyTypes]] = {
    "rsa-4096": lambda: rsa.generate_private_key(EXPONENT_MIN, 4096),
    "rsa-3072": lambda: rsa.generate_private_key(EXPONENT_MIN, 3072),
    "rsa-2048": lambda: rsa.generate_private_key(EXPONENT_MIN, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "x25519": X25519PrivateKey.generate,
}
