"""Verify, decrypt, compare: all checks of a request."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from hookseal_receiver.errors import SetupError, VerificationError
from hookseal_receiver.event import Event
from hookseal_receiver.headers import signed_headers
from hookseal_receiver.keyring import keyring
from hookseal_receiver.opening import Opener
from hookseal_receiver.signature import verifiers, verify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hookseal_receiver.headers import Headers

__all__ = ["MAX_BODY_BYTES", "Webhook"]

# The largest event of default size makes 44,800 bytes with RSA-4096.
MAX_BODY_BYTES = 64 * 1024


class Webhook:
    """Turns requests into events. Holds no state, so that threads may share it.

    Attributes:
        max_body_bytes: The largest body that is looked at.
        key_ids: Key ids of the private keys, as the sender names them.

    Args:
        secrets: Signing secrets, `whsec_…`; one of them must fit. Several while a
            secret rotates.
        keys: Private keys, each as PEM or as a JWK in JSON; several while a key
            rotates. RSA from 2048 bits, P-256 or X25519.
        endpoint_id: Which endpoint this is, `ep_…`. Give it if several endpoints
            lead to one program: what was sent to another one is then refused.
        max_body_bytes: Raise it if the sender allows events above 32 KiB; a body has
            four thirds of the event and some 900 bytes.

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
                f"Give the size of the largest body, {MAX_BODY_BYTES} for example.",
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
            headers: All headers of the request: a mapping, or pairs, of text or bytes.
            body: As it came, before anything parsed it.

        Raises:
            VerificationError: It is not a request that the sender made for this endpoint
                in the last five minutes. Answer 400, and log the error's `reason`.
        """
        if len(body) > self.max_body_bytes:
            raise VerificationError("body_too_large")
        signed = signed_headers(headers)
        # First: anybody may seal to a public key, and opening costs a thousand times more.
        verify(self._verifiers, signed, body)
        event = Event.parse(self._opener.open(body))
        # The signature covers the id in the header, the seal the one in the event: only
        # together do they say that this body belongs to this id and to this endpoint.
        same_id = _same(event.id, signed["webhook-id"])
        same_endpoint = _same(event.endpoint_id, self._endpoint_id or event.endpoint_id)
        if not same_id:
            raise VerificationError("id_differs")
        if not same_endpoint:
            raise VerificationError("endpoint_differs")
        return event


def _same(one: str, other: str) -> bool:
    # surrogatepass: JSON may hold half a surrogate pair, which UTF-8 does not have.
    return hmac.compare_digest(
        one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    )
