"""Encryption at rest: AES-256-GCM under keys derived from the master key.

`Vault` encrypts short secrets of tenants with random nonces of 96 bits. One key may encrypt 2^32
texts (NIST SP 800-38D, section 8.3), which custom headers do not come near.

`EventVault` encrypts event data: the publisher encrypts, the delivering worker decrypts. It uses
one key per tenant, and binds the data to topic, customer id, event id and event type. The nonce is
an HMAC-SHA256 of the data and that binding, as in a synthetic IV (RFC 5297, section 3). So an event
that is published again has the same bytes and is recognised, and two different events share a nonce
with a probability of 2^-96 for each pair.

Both take the current master key first, then the others that still decrypt.
"""

from __future__ import annotations

import hmac
import secrets
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookseal.errors import SealError
from hookseal.seal import base64url
from hookseal.seal.derive import KEY_BYTES, derived, framed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PREFIX = "sealed:1:"
_PURPOSE = b"hookseal vault 1"
_EVENT_PREFIX = "1:"
_EVENT_PURPOSE = b"hookseal event data 1"
_NONCE_BYTES = 12
_TENANTS_MAX = 16_384


def is_sealed(text: str) -> bool:
    """Return whether the text has the form that `Vault.seal` gives."""
    return text.startswith(_PREFIX)


class Vault:
    """Encrypts and decrypts texts; each is bound to its owner and purpose."""

    __slots__ = ("_ciphers",)

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(derived(key, _PURPOSE)) for key in master_keys]

    def seal(self, text: str, *binding: str) -> str:
        """Return the encrypted text, different each time; decryption needs the same binding."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[0].encrypt(nonce, text.encode(), _framed(*binding))
        return _PREFIX + base64url.encode(nonce + ciphertext).decode()

    def open(self, sealed: str, *binding: str) -> str:
        """Return the text; raises ValueError for another binding or an unknown master key."""
        octets = base64url.decode(sealed.removeprefix(_PREFIX))
        text = _decrypted(self._ciphers, octets, _framed(*binding))
        if text is None:
            raise ValueError("encrypted with another binding, or under another key")
        return text.decode()


class _EventKeys(NamedTuple):
    cipher: AESGCM
    nonces: bytes


class EventVault:
    """Encrypts and decrypts the data of events on `topic` (prefix included)."""

    __slots__ = ("_keys", "_topic")

    def __init__(self, topic: str, master_keys: Sequence[bytes]) -> None:
        self._topic = topic
        self._keys = [lru_cache(_TENANTS_MAX)(partial(_event_keys, key)) for key in master_keys]

    def seal(self, data: bytes, customer_id: str, event_id: str, event_type: str) -> str:
        """Return `1:` and base64url of nonce and ciphertext; an event without an id has `""`."""
        keys = self._keys[0](customer_id)
        binding = _framed(self._topic, customer_id, event_id, event_type)
        nonce = hmac.digest(keys.nonces, binding + data, "sha256")[:_NONCE_BYTES]
        ciphertext = keys.cipher.encrypt(nonce, data, binding)
        return _EVENT_PREFIX + base64url.encode(nonce + ciphertext).decode()

    def open(self, sealed: str, customer_id: str, event_id: str, event_type: str) -> bytes:
        """Return the data, or raise SealError: `data_unreadable`."""
        version, text = sealed[: len(_EVENT_PREFIX)], sealed[len(_EVENT_PREFIX) :]
        try:
            octets = base64url.decode(text) if version == _EVENT_PREFIX else b""
        except ValueError:
            octets = b""
        binding = _framed(self._topic, customer_id, event_id, event_type)
        data = _decrypted((keys(customer_id).cipher for keys in self._keys), octets, binding)
        if data is None:
            hint = "The event's data were encrypted for another event, or under another master key."
            raise SealError("data_unreadable", hint)
        return data


def _decrypted(ciphers: Iterable[AESGCM], octets: bytes, binding: bytes) -> bytes | None:
    nonce, ciphertext = octets[:_NONCE_BYTES], octets[_NONCE_BYTES:]
    for cipher in ciphers:
        try:
            return cipher.decrypt(nonce, ciphertext, binding)
        except (InvalidTag, ValueError):
            # A ValueError where it is too short to hold a nonce.
            continue
    return None


def _framed(*parts: str) -> bytes:
    return framed(*(part.encode() for part in parts))


def _event_keys(master_key: bytes, customer_id: str) -> _EventKeys:
    info = framed(_EVENT_PURPOSE, customer_id.encode())
    octets = derived(master_key, info, length=2 * KEY_BYTES)
    return _EventKeys(AESGCM(octets[:KEY_BYTES]), octets[KEY_BYTES:])
