"""The private keys of a tenant, and JWE as far as a sealed request uses it (RFC 7516)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from hookseal_receiver.errors import SetupError, VerificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ENC = "A256GCM"
_ALGORITHMS = ("RSA-OAEP-256", "ECDH-ES")
# RFC 7516 section 7.2.2. Without `header`, `unprotected` and `aad` the tag covers everything, and
# the body is equivalent to the compact form.
_MEMBERS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
_REQUIRED_MEMBERS = {"protected", "iv", "ciphertext", "tag"}
# No `zip`, `crit`, `b64`, `p2c`, `jku` or `apu`: the sender has no choice.
_PARAMETERS = {"alg", "enc", "kid", "cty", "epk"}
_RSA_MIN_BITS = 2048
# RFC 7517 section 4, all but `kty`.
_ABOUT_THE_KEY = {"use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256"}


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """One private key.

    Attributes:
        kid: RFC 7638 thumbprint (SHA-256) of the public key, as in a sealed body.
        alg: The only algorithm that is accepted for this key.
    """

    kid: str
    alg: str
    key: RSAKey | ECKey | OKPKey = field(repr=False)


def keyring(keys: Iterable[str | bytes]) -> Mapping[str, PrivateKey]:
    """Return the keys, PEM without a passphrase or JWK, by key id.

    Raises:
        SetupError: `key_missing`, `key_format`, `key_is_public`, `key_unsupported`; the field
            tells which key.
    """
    loaded = [_load(key, f"keys[{number}]") for number, key in enumerate(keys)]
    if not loaded:
        raise SetupError("key_missing", "Set at least one private key.", field="keys")
    return {key.kid: key for key in loaded}


def _load(text: str | bytes, field: str) -> PrivateKey:
    octets = (text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text).strip()
    if b"PUBLIC KEY-----" in octets:
        raise _is_public(field)
    try:
        private = (
            _read_jwk(octets, field)
            if octets[:1] == b"{"
            else load_pem_private_key(octets, password=None)
        )
    # The libraries raise all of these for odd input; their texts may contain parts of the key.
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm, RecursionError):
        raise SetupError(
            "key_format",
            "This is no private key. Use PEM without a passphrase, or a JWK.",
            field=field,
        ) from None
    return _usable(private, field)


def _read_jwk(octets: bytes, field: str) -> object:
    members: Any = json.loads(octets)
    # Ignore a `kid` of the JWK: the sender uses the thumbprint.
    numbers = {name: value for name, value in members.items() if name not in _ABOUT_THE_KEY}
    if members["kty"] == "oct":
        return None
    key = import_key(numbers)
    if "d" not in members:
        raise _is_public(field)
    return key.private_key


def _is_public(field: str) -> SetupError:
    return SetupError("key_is_public", "This is a public key. Use the private key.", field=field)


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
            f"Use an RSA key of at least {_RSA_MIN_BITS} bits, a P-256 or an X25519 key.",
            field=field,
        )
    return PrivateKey(key.thumbprint(), alg, key)


class Opener:
    """Decrypts sealed bodies with private keys; joserfc with everything pinned."""

    def __init__(self, keys: Mapping[str, PrivateKey], *, max_body_bytes: int) -> None:
        self._keys = keys
        self._registries = {alg: _registry(alg, max_body_bytes) for alg in _ALGORITHMS}

    def open(self, body: bytes) -> bytes:
        """Decrypt the body.

        Raises:
            VerificationError: `body_invalid`, `algorithm_refused`, `key_unknown`,
                `not_opened`.
        """
        parts = _parts(body)
        key = self._key(_header(parts[0]))
        try:
            # The compact form keeps the bytes of the protected header. joserfc 1.8 re-encodes
            # the header of the JSON form before it is authenticated.
            opened = jwe.decrypt_compact(
                ".".join(parts), key.key, registry=self._registries[key.alg]
            )
        # ValueError: invalid base64, JSON or curve point. The others were seen with hostile
        # header values, where a library expects another type.
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, AssertionError):
            raise VerificationError("not_opened") from None
        return opened.plaintext or b""

    def _key(self, header: dict[str, Any]) -> PrivateKey:
        if not header.keys() <= _PARAMETERS or header.get("enc") != _ENC:
            raise VerificationError("algorithm_refused")
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise VerificationError("key_unknown")
        if header.get("alg") != key.alg:
            raise VerificationError("algorithm_refused")
        return key


def _registry(alg: str, max_body_bytes: int) -> jwe.JWERegistry:
    registry = jwe.JWERegistry(algorithms=[alg, _ENC])
    registry.max_ciphertext_length = max_body_bytes
    return registry


def _parts(body: bytes) -> list[str]:
    """Return the five parts of the compact form."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        raise VerificationError("body_invalid") from None
    if (
        not isinstance(members, dict)
        or not _REQUIRED_MEMBERS <= members.keys() <= set(_MEMBERS)
        # An empty member must be absent (RFC 7516 section 7.2.1).
        or not all(isinstance(value, str) and value for value in members.values())
    ):
        raise VerificationError("body_invalid")
    return [members.get(name, "") for name in _MEMBERS]


def _header(protected: str) -> dict[str, Any]:
    try:
        padded = protected + "=" * (-len(protected) % 4)
        header = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise VerificationError("body_invalid") from None
    if not isinstance(header, dict):
        raise VerificationError("body_invalid")
    return header
