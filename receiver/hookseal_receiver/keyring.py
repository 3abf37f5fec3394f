"""The tenant's private keys, found by the key id that a sealed body names."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from hookseal_receiver.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RSA_MIN_BITS = 2048


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One private key.

    Attributes:
        kid: RFC 7638 thumbprint (SHA-256) of the public key, as a sealed body names it.
        alg: The one algorithm that may have sealed to it.
        key: For joserfc.
    """

    kid: str
    alg: str
    key: RSAKey | ECKey | OKPKey = field(repr=False)


def keyring(keys: Iterable[str | bytes]) -> Mapping[str, PrivateKey]:
    """Return the keys by their key ids.

    Args:
        keys: Each a PEM without a passphrase, or a JWK as JSON text. Several while a key
            rotates.

    Raises:
        SetupError: `key_missing`: none is given. `key_format`: no private key, or one
            with a passphrase. `key_is_public`. `key_unsupported`: neither RSA of at least
            2048 bits, P-256 nor X25519. The field says which of the keys it is.
    """
    loaded = [_load(key, f"keys[{number}]") for number, key in enumerate(keys)]
    if not loaded:
        raise SetupError("key_missing", "Give at least one private key.", field="keys")
    return {key.kid: key for key in loaded}


def _load(text: str | bytes, field: str) -> PrivateKey:
    octets = (text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).strip()
    if b"PUBLIC KEY-----" in octets:
        raise SetupError(
            "key_is_public", "This is the public key; give the private one.", field=field
        )
    try:
        private = _read_jwk(octets, field) if octets[:1] == b"{" else _read_pem(octets)
    # Of a library that is handed anything at all; its texts may hold parts of the key.
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm, RecursionError):
        raise SetupError(
            "key_format",
            "Give a private key as PEM without a passphrase, or as a JWK.",
            field=field,
        ) from None
    return _usable(private, field)


def _read_pem(octets: bytes) -> object:
    return load_pem_private_key(octets, password=None)


def _read_jwk(octets: bytes, field: str) -> object:
    members: Any = json.loads(octets)
    # Only the numbers count: the sender names the thumbprint, not a `kid` of the JWK.
    numbers = {name: value for name, value in members.items() if name not in _ABOUT_THE_KEY}
    if members["kty"] == "oct":
        return None
    key = import_key(numbers)
    if "d" not in members:
        raise SetupError(
            "key_is_public", "This is the public key; give the private one.", field=field
        )
    return key.private_key


# RFC 7517 section 4, all but `kty`.
_ABOUT_THE_KEY = {"use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256"}


def _usable(private: object, field: str) -> PrivateKey:
    key: RSAKey | ECKey | OKPKey
    if isinstance(private, RSAPrivateKey) and private.key_size >= _RSA_MIN_BITS:
        key, alg = RSAKey(private, private), "RSA-OAEP-256"
    elif isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
        key, alg = ECKey(private, private), "ECDH-ES"
    elif isinstance(private, X25519PrivateKey):
        key, alg = OKPKey(private, private), "ECDH-ES"
    else:
        raise SetupError(
            "key_unsupported",
            f"Give an RSA key of at least {_RSA_MIN_BITS} bits, a P-256 or an X25519 key.",
            field=field,
        )
    return PrivateKey(key.thumbprint(), alg, key)
