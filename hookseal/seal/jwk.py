"""A public key as a JWK (RFC 7517)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from hookseal.seal import base64url, material
from hookseal.seal.material import private_key_submitted, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hookseal.errors import InvalidKeyError
    from hookseal.seal.material import PublicJwk

    _Kind = tuple[str, Callable[[Mapping[str, Any]], PublicJwk]]

# RFC 7518 sections 6.2.2, 6.3.2 and 6.4, RFC 8037 section 2; `priv` is that of the
# post-quantum kinds of key.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})

# For a text that is cut short, or was never JSON.
_PRIVATE_IN_TEXT = re.compile(rb"""["'](?:d|p|q|dp|dq|qi|oth|priv)["']\s*:""")

_COORDINATE_BYTES = 32

# RFC 7518 section 4.1. A key bound to one of these is for encryption, but not for ours,
# and its owner's library may well refuse to use it otherwise.
_KEY_MANAGEMENT = frozenset(
    {
        "RSA1_5",
        "RSA-OAEP",
        "RSA-OAEP-256",
        "RSA-OAEP-384",
        "RSA-OAEP-512",
        "ECDH-ES",
        "ECDH-ES+A128KW",
        "ECDH-ES+A192KW",
        "ECDH-ES+A256KW",
    }
)
_ENCRYPTING_OPERATIONS = frozenset({"encrypt", "wrapKey", "deriveKey", "deriveBits"})


def read_jwk(text: bytes) -> PublicJwk:
    """Read a public key out of a JSON text.

    Raises:
        InvalidKeyError: See `hookseal.seal.keys.parse_public_key`.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        if _PRIVATE_IN_TEXT.search(text):
            raise private_key_submitted() from None
        raise refusal(
            "key_format", "This looks like a JWK but is no JSON; send it whole."
        ) from None
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
            "key_unsupported",
            "This is a symmetric key; we did not store it. Send an RSA, P-256 or X25519 public "
            "key.",
        )
    if kty == "OKP" and crv in ("Ed25519", "Ed448"):
        raise refusal(
            "key_not_for_encryption", f"{crv} signs; send an X25519, P-256 or RSA key instead."
        )
    kind = _KINDS.get((kty, crv if isinstance(crv, str) else None))
    if kind is None:
        raise refusal("key_unsupported", "Send an RSA, P-256 or X25519 public key.")
    return kind


def _check_purpose(jwk: Mapping[str, Any], alg: str) -> None:
    if jwk.get("use", "enc") != "enc":
        raise refusal(
            "key_not_for_encryption", 'The key\'s "use" must be "enc" (RFC 7517 section 4.2).'
        )
    # WebCrypto exports the public key of an ECDH pair with an empty list.
    operations = jwk.get("key_ops") or ["encrypt"]
    if not isinstance(operations, list) or not any(
        operation in _ENCRYPTING_OPERATIONS
        for operation in operations
        if isinstance(operation, str)
    ):
        raise refusal(
            "key_not_for_encryption",
            'The key\'s "key_ops" allow no encryption (RFC 7517 section 4.3).',
        )
    bound_to = jwk.get("alg", alg)
    if bound_to == alg:
        return
    if isinstance(bound_to, str) and bound_to in _KEY_MANAGEMENT:
        raise refusal(
            "key_unsupported",
            f'The key\'s "alg" binds it to {bound_to}; we seal with {alg}. Send a key for that, '
            "or leave the member out.",
        )
    raise refusal("key_not_for_encryption", f'The key\'s "alg" must be {alg} or left out.')


def _rsa(jwk: Mapping[str, Any]) -> PublicJwk:
    return material.rsa(_uint(jwk, "n"), _uint(jwk, "e"))


def _p256(jwk: Mapping[str, Any]) -> PublicJwk:
    x, y = _octets(jwk, "x"), _octets(jwk, "y")
    # RFC 7518 section 6.2.1.2: full size, zeros in front included.
    if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise refusal("key_invalid", f'"x" and "y" of P-256 have {_COORDINATE_BYTES} bytes each.')
    return material.p256(b"\x04" + x + y)


def _x25519(jwk: Mapping[str, Any]) -> PublicJwk:
    return material.x25519(_octets(jwk, "x"))


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if value is None:
        raise refusal("key_invalid", f'The JWK has no "{name}".')
    try:
        if isinstance(value, str):
            return base64url.decode(value)
    except ValueError:
        pass
    raise refusal(
        "key_invalid", f'"{name}" must be base64url without padding (RFC 7515 section 2).'
    )


def _uint(jwk: Mapping[str, Any], name: str) -> int:
    octets = _octets(jwk, name)
    # A second spelling would give the key a second thumbprint.
    if not octets or (octets[0] == 0 and octets != b"\x00"):
        raise refusal(
            "key_invalid",
            f'"{name}" must not begin with a zero byte (RFC 7518 section 2, Base64urlUInt).',
        )
    return int.from_bytes(octets)


_KINDS: Mapping[tuple[str, str | None], _Kind] = {
    ("RSA", None): ("RSA-OAEP-256", _rsa),
    ("EC", "P-256"): ("ECDH-ES", _p256),
    ("OKP", "X25519"): ("ECDH-ES", _x25519),
}
