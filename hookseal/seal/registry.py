"""MACs of tenant commands and documents: only a holder of the master key can write them.

Without them a writer to Kafka could replace a tenant's public key or URL, and read all of its later
events. The MAC is HMAC-SHA256 (RFC 2104) under a key derived from the master key (HKDF, RFC 5869).
It covers topic, record key and document, each behind its length, so a record that is moved to
another tenant or topic does not verify. It is the last member of the JSON object, `mac`: 43
characters of base64url.
"""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, NamedTuple

from hookseal.seal import base64url
from hookseal.seal.derive import derived, framed

if TYPE_CHECKING:
    from collections.abc import Sequence

_PURPOSE = b"hookseal registry mac 1"
_SIGNED = re.compile(rb'(\{.*),"mac":"([A-Za-z0-9_-]{43})"\}', re.DOTALL)


class Genuine(NamedTuple):
    """A verified document; `is_current` = its MAC is under the current master key."""

    document: bytes
    is_current: bool


class RegistryMac:
    """Attaches MACs under the first master key, and verifies them under all."""

    __slots__ = ("_keys",)

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._keys = tuple(derived(key, _PURPOSE) for key in master_keys)

    def attach(self, topic: str, key: bytes, document: bytes) -> bytes:
        """Return the document, a JSON object with at least one member, with its MAC."""
        mac = base64url.encode(_mac(self._keys[0], topic, key, document))
        return b'%b,"mac":"%b"}' % (document[:-1], mac)

    def checked(self, topic: str, key: bytes, value: bytes) -> Genuine | None:
        """Return the document without its MAC; None = the MAC is missing or does not verify."""
        parts = _SIGNED.fullmatch(value)
        if parts is None:
            return None
        document = parts[1] + b"}"
        for number, mac_key in enumerate(self._keys):
            # Compared as text: another spelling of the same bytes does not count.
            expected = base64url.encode(_mac(mac_key, topic, key, document))
            if hmac.compare_digest(expected, parts[2]):
                return Genuine(document, is_current=number == 0)
        return None


def _mac(key: bytes, topic: str, record_key: bytes, document: bytes) -> bytes:
    return hmac.digest(key, framed(topic.encode(), record_key, document), "sha256")
