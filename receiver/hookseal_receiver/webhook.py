"""All checks of a request: verify, decrypt, compare."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from hookseal_receiver.errors import SetupError, VerificationError
from hookseal_receiver.event import Event
from hookseal_receiver.opening import Opener, keyring
from hookseal_receiver.signature import signed_headers, verifiers, verify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal_receiver.signature import Headers

__all__ = ["MAX_BODY_BYTES", "Webhook"]

# The largest event of default size makes 44,800 bytes with RSA-4096.
MAX_BODY_BYTES = 64 * 1024


class Webhook:
    """Turns requests into events; thread-safe.

    Attributes:
        key_ids: Key ids of the private keys (RFC 7638 thumbprints), as the sender shows them.

    Args:
        secrets: Signing secrets, `whsec_…`; several during a rotation.
        keys: Private keys, each as PEM or JWK; several during a rotation. RSA from 2048 bits,
            P-256 or X25519.
        endpoint_id: `ep_…`. Set it if several endpoints lead to one program: a request to
            another endpoint is then refused.
        max_body_bytes: Raise it if the sender allows events above 32 KiB. A body has 4/3 of the
            event's bytes and some 900 more.

    Raises:
        SetupError: `secret_missing`, `secret_invalid`, `key_missing`, `key_format`,
            `key_is_public`, `key_unsupported`, `max_body_bytes_invalid`.
    """

    def __init__(
        self,
        *,
        secrets: Iterable[str],
        keys: Iterable[str | bytes],
        endpoint_id: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        if max_body_bytes < 1:
            raise SetupError(
                "max_body_bytes_invalid",
                f"Set a limit of at least 1 byte, {MAX_BODY_BYTES:,} for example.",
                field="max_body_bytes",
            )
        loaded = keyring(keys)
        self.key_ids = tuple(loaded)
        self.max_body_bytes = max_body_bytes
        self._verifiers = verifiers(secrets)
        self._opener = Opener(loaded, max_body_bytes=max_body_bytes)
        self._endpoint_id = endpoint_id

    def __repr__(self) -> str:
        return f"Webhook(key_ids={self.key_ids!r}, endpoint_id={self._endpoint_id!r})"

    def open(self, headers: Headers, body: bytes) -> Event:
        """Return the event in a request.

        Args:
            headers: All headers: a mapping, or pairs, of text or bytes.
            body: The raw bytes.

        Raises:
            VerificationError: The sender did not make this request for this endpoint in the
                last five minutes. Answer 400, and log the error's `reason`.
        """
        if len(body) > self.max_body_bytes:
            raise VerificationError("body_too_large")
        signed = signed_headers(headers)
        # First: anybody can encrypt to a public key, and decryption costs 1,000 times more.
        verify(self._verifiers, signed, body)
        event = Event.parse(self._opener.open(body))
        # The signature covers the id in the header, the encryption that in the event. Only both
        # together prove that this body belongs to this id and to this endpoint.
        same_id = _same(event.id, signed["webhook-id"])
        same_endpoint = _same(event.endpoint_id, self._endpoint_id or event.endpoint_id)
        if not same_id:
            raise VerificationError("id_differs")
        if not same_endpoint:
            raise VerificationError("endpoint_differs")
        return event


def _same(one: str, other: str) -> bool:
    # surrogatepass: JSON can contain half of a surrogate pair, UTF-8 cannot.
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    )
