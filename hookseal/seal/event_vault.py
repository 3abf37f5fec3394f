"""Encrypts event data at rest: the publisher encrypts, the delivering worker decrypts.

AES-256-GCM under a key for each tenant, HKDF-SHA256 (RFC 5869) of the master key. Bound to
topic, customer id, event id and event type. The nonce is made of the data and their place
with HMAC-SHA256, as in a synthetic IV (RFC 5297, section 3): an event that is published
again has the same bytes, by which it is known, and two different ones share a nonce with a
probability of 2^-96 for each pair.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookseal.errors import SealError
from hookseal.seal import base64url
from hookseal.seal.derive import KEY_BYTES, derived, framed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_VERSION = "1:"
_PURPOSE = b"hookseal event data 1"
_NONCE_BYTES = 12
_TENANTS_MAX = 16_384


class _Keys(NamedTuple):
    cipher: AESGCM
    nonces: bytes


class EventVault:
    """Seals and opens the data of events.

    Args:
        topic: The name of `events`, prefix included.
        master_keys: The current one first; behind it the others that still open.
    """

    __slots__ = ("_keys", "_topic")

    def __init__(self, topic: str, master_keys: Sequence[bytes]) -> None:
        self._topic = topic
        self._keys = [lru_cache(_TENANTS_MAX)(_deriving(key)) for key in master_keys]

    def seal(self, data: bytes, customer_id: str, event_id: str, event_type: str) -> str:
        """Return the data sealed: `1:` and base64url of nonce and ciphertext.

        Args:
            event_id: Of the record; empty if it has none.
        """
        keys = self._keys[0](customer_id)
        place = _place(self._topic, customer_id, event_id, event_type)
        nonce = hmac.digest(keys.nonces, place + data, "sha256")[:_NONCE_BYTES]
        return _VERSION + base64url.encode(nonce + keys.cipher.encrypt(nonce, data, place)).decode()

    def open(self, sealed: str, customer_id: str, event_id: str, event_type: str) -> bytes:
        """Return the data.

        Raises:
            SealError: `data_unreadable`: sealed for another place, under a master key that is
                not known here, or not by us.
        """
        place = _place(self._topic, customer_id, event_id, event_type)
        octets = _octets(sealed)
        nonce, rest = octets[:_NONCE_BYTES], octets[_NONCE_BYTES:]
        for each in self._keys:
            try:
                return each(customer_id).cipher.decrypt(nonce, rest, place)
            except (InvalidTag, ValueError):
                # A ValueError where it is too short to hold a nonce.
                continue
        raise SealError(
            "data_unreadable",
            "The event's data are sealed for another place, or under another master key.",
        )


def _octets(sealed: str) -> bytes:
    try:
        return base64url.decode(sealed.removeprefix(_VERSION)) if sealed[:2] == _VERSION else b""
    except ValueError:
        return b""


def _place(*parts: str) -> bytes:
    return framed(*(part.encode() for part in parts))


def _deriving(master_key: bytes) -> Callable[[str], _Keys]:
    def derive(customer_id: str) -> _Keys:
        info = _place(_PURPOSE.decode(), customer_id)
        octets = derived(master_key, info, length=2 * KEY_BYTES)
        return _Keys(AESGCM(octets[:KEY_BYTES]), octets[KEY_BYTES:])

    return derive
