"""JWE, as far as a sealed request uses it (RFC 7516): joserfc, with everything pinned."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from joserfc import jwe
from joserfc.errors import JoseError

from hookseal_receiver.errors import VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookseal_receiver.keyring import PrivateKey

_ENC = "A256GCM"
_ALGORITHMS = ("RSA-OAEP-256", "ECDH-ES")
# RFC 7516 section 7.2.2. Without `header`, `unprotected` and `aad` nothing is left that is
# not covered by the tag, and the body says the same as the compact form.
_MEMBERS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
_REQUIRED_MEMBERS = {"protected", "iv", "ciphertext", "tag"}
# No `zip`, `crit`, `b64`, `p2c`, `jku` or `apu`: what a sender may choose is decided here.
_PARAMETERS = {"alg", "enc", "kid", "cty", "epk"}


class Opener:
    """Decrypts sealed bodies with the keys of one tenant.

    Args:
        keys: By key id.
        max_body_bytes: Of a body; joserfc's own limit on the ciphertext is raised or
            lowered to it.
    """

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
            # The compact form keeps the protected header as it came. From the JSON form
            # joserfc 1.8 re-encodes it before it is authenticated.
            opened = jwe.decrypt_compact(
                ".".join(parts), key.key, registry=self._registries[key.alg]
            )
        # ValueError: base64, JSON or a point that are none. Others have come from hostile
        # values in the header, where a library expects another type.
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
        # None of them empty: such a one has to be absent (RFC 7516 section 7.2.1).
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
