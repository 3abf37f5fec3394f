"""MACs of tenant commands and documents, which only a holder of the master key can write.

Otherwise a writer to Kafka could replace a tenant's public key or URL, and read all of its
later events. The MAC is HMAC-SHA256 (RFC 2104) under a key derived from
the master key (HKDF, RFC 5869), which brokers do not hold, over topic, record key and
document, each behind its length: a record that is moved to another tenant or topic does
not verify.

It is the last member of the JSON object, `mac`: base64url, 43 characters.
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
    """A document that one of ours wrote.

    Attributes:
        is_current: Whether the MAC is one under the current master key.
    """

    document: bytes
    is_current: bool


class RegistryMac:
    """Attaches MACs, and checks them.

    Args:
        master_keys: The current one first; behind it those before it, whose MACs still
            count.
    """

    __slots__ = ("_keys",)

    def __init__(self, master_keys: Sequence[bytes]) -> None:
        self._keys = tuple(derived(key, _PURPOSE) for key in master_keys)

    def attach(self, topic: str, key: bytes, document: bytes) -> bytes:
        """Return the document with its MAC.

        Args:
            document: A JSON object with at least one member.
        """
        mac = base64url.encode(_mac(self._keys[0], topic, key, document))
        return b'%b,"mac":"%b"}' % (document[:-1], mac)

    def checked(self, topic: str, key: bytes, value: bytes) -> Genuine | None:
        """Return the document without its MAC; None if the MAC is missing or another one."""
        parts = _SIGNED.fullmatch(value)
        if parts is None:
            return None
        document = parts[1] + b"}"
        found = parts[2]
        # Compared as text: another spelling of the same bytes does not count.
        expected = (base64url.encode(_mac(each, topic, key, document)) for each in self._keys)
        for number, each in enumerate(expected):
            if hmac.compare_digest(each, found):
                return Genuine(document, is_current=number == 0)
        return None


def _mac(key: bytes, topic: str, record_key: bytes, document: bytes) -> bytes:
    return hmac.digest(key, framed(topic.encode(), record_key, document), "sha256")
