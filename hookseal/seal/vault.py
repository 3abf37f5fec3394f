"""Short secrets of tenants at rest: AES-256-GCM under keys derived from the master key.

A sealed text is `sealed:1:` and base64url of nonce (96 random bits) and ciphertext. One key
may seal 2^32 texts (NIST SP 800-38D, section 8.3), which custom headers do not come near.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookseal.seal import base64url
from hookseal.seal.derive import derived, framed

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = "sealed:1:"
_PURPOSE = b"hookseal vault 1"
_NONCE_BYTES = 12


def is_sealed(text: str) -> bool:
    """Return whether the text has the form of a sealed one."""
    return text.startswith(_PREFIX)


class Vault:
    """Encrypts and decrypts texts; each is bound to its owner and purpose.

    Args:
        master_keys: The current one first; behind it those before it, whose texts are
            still opened.
    """

    __slots__ = ("_ciphers",)

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(derived(key, _PURPOSE)) for key in master_keys]

    def seal(self, text: str, *place: str) -> str:
        """Return the encrypted text, different each time.

        Args:
            text: The secret.
            place: Owner and purpose; decryption needs the same.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[0].encrypt(nonce, text.encode(), _aad(place))
        return _PREFIX + base64url.encode(nonce + sealed).decode()

    def open(self, sealed: str, *place: str) -> str:
        """Return the text.

        Raises:
            ValueError: It was sealed for another place, or under a key that is not known.
        """
        octets = base64url.decode(sealed.removeprefix(_PREFIX))
        nonce, rest = octets[:_NONCE_BYTES], octets[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, _aad(place)).decode()
            except (InvalidTag, ValueError):
                # A ValueError where it is too short to hold a nonce.
                continue
        raise ValueError("sealed for another place, or under another key")


def _aad(place: Sequence[str]) -> bytes:
    return framed(*(part.encode() for part in place))
