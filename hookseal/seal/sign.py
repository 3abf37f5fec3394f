"""Sign requests: Standard Webhooks 1.0.0, symmetric scheme `v1`.

HMAC-SHA256 over `id.timestamp.body` (Unix seconds of the attempt, bytes on the wire), base64.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import pybase64
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from hookseal.errors import ConfigurationError, SealError
from hookseal.seal.derive import derived, framed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECRET_BYTES = 32
_SHA256 = SHA256()
MASTER_KEY_BYTES_MIN = 32
_SECRETS_MAX = 16_384
_PURPOSE = b"hookseal signing secret 1"


def sign(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, `v1,<base64>`. The event id must not have a dot."""
    signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    mac = HMAC(secret, _SHA256)
    mac.update(signed)
    return "v1," + pybase64.b64encode_as_string(mac.finalize())


def signature_header(secrets: Sequence[bytes], event_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header: a signature for each secret, the newest first.

    Raises SealError: `request_invalid`, without a secret: the receiver could not verify it.
    """
    if not secrets:
        raise SealError("request_invalid", "The endpoint has no signing secret to sign with.")
    return " ".join(sign(secret, event_id, timestamp, body) for secret in secrets)


class SigningSecrets:
    """The signing secrets of all endpoints. They are derived and stored nowhere.

    A secret is HKDF-SHA256 (RFC 5869) of the master key, bound to its endpoint and version. The
    previous master keys `before`, newest first, sign as well.
    """

    __slots__ = ("_before", "_derive")

    def __init__(self, master_key: bytes, *before: bytes) -> None:
        if any(len(key) < MASTER_KEY_BYTES_MIN for key in (master_key, *before)):
            raise ConfigurationError(
                "master_key_short",
                f"The master key needs at least {MASTER_KEY_BYTES_MIN} random bytes.",
            )
        # The keys live in these partials only: they appear in no repr and in no vars().
        self._derive, *self._before = (
            lru_cache(_SECRETS_MAX)(partial(_derive, key)) for key in (master_key, *before)
        )

    def derive(self, customer_id: str, endpoint_id: str, version: int) -> bytes:
        """Return the 32 bytes of an endpoint's secret. Versions count from 1."""
        return self._derive(customer_id, endpoint_id, version)

    def in_force(self, customer_id: str, endpoint_id: str, versions: Iterable[int]) -> list[bytes]:
        """Return the secrets that sign a request, for these versions, the newest first."""
        return [
            derive(customer_id, endpoint_id, version)
            for derive in (self._derive, *self._before)
            for version in versions
        ]

    def show(self, customer_id: str, endpoint_id: str, version: int) -> str:
        """Return the secret in the form that tenants get, `whsec_<base64>`."""
        secret = self.derive(customer_id, endpoint_id, version)
        return "whsec_" + pybase64.b64encode_as_string(secret)


def _derive(master_key: bytes, customer_id: str, endpoint_id: str, version: int) -> bytes:
    info = framed(_PURPOSE, customer_id.encode(), endpoint_id.encode(), b"%d" % version)
    return derived(master_key, info, length=SECRET_BYTES)
