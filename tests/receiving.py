"""A sender that is not ours, and a clock: what the tests of the receiver need."""

from __future__ import annotations

import base64
import datetime as dt
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwe, jwk
from standardwebhooks.webhooks import Webhook as Signer

from hookseal_receiver import Webhook
from tests.oracles import joserfc_key
from tests.sealed import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sealed import SealedVector

__all__ = ["EVENT", "OTHER", "SECRET", "a_request", "a_webhook", "kid_of", "the_clock_at", "web_of"]

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
OTHER = f"whsec_{base64.b64encode(bytes(31) + b'1').decode()}"
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "type": "order.paid",
    "timestamp": "2026-11-24T11:58:21.800Z",
    "customer_id": "acme",
    "endpoint_id": "ep_1",
    "data": {"n": 1},
}
MEMBERS = ("protected", "encrypted_key", "iv", "ciphertext", "tag")


def a_webhook(*keys: str, **changes: Any) -> Webhook:
    """A webhook with the private keys of these vectors; of X25519 by default."""
    pems = [vectors()[name].private_key for name in keys or ("x25519",)]
    return Webhook(**{"secrets": [SECRET], "keys": pems, **changes})


def web_of(vector: SealedVector, **changes: Any) -> Webhook:
    """A webhook for a frozen request."""
    given = {"secrets": vector.signing_secrets, "keys": [vector.private_key]}
    return Webhook(**{**given, **changes})


def kid_of(name: str) -> str:
    return vectors()[name].public_key.kid


def a_request(
    event: object = EVENT,
    *,
    to: str = "x25519",
    event_id: str = "evt_1",
    secret: str = SECRET,
    at: dt.datetime | None = None,
    header: dict[str, Any] | None = None,
    members: dict[str, Any] | None = None,
) -> tuple[dict[str, str], bytes]:
    """Seal and sign by other people's libraries; return headers and body.

    Args:
        event: What is sealed: bytes as they are, anything else as JSON.
        to: The vector whose key it is sealed to.
        event_id: Of the header.
        secret: It is signed with.
        at: When it was signed; now by default.
        header: Parameters of the protected header that differ; None leaves one out.
        members: Members of the body that differ.
    """
    alg = "RSA-OAEP-256" if to.startswith("rsa") else "ECDH-ES"
    asked = {"alg": alg, "enc": "A256GCM", "kid": kid_of(to), "cty": "json", **(header or {})}
    protected = {name: value for name, value in asked.items() if value is not None}
    plaintext = event if isinstance(event, bytes) else json.dumps(event).encode()
    registry = jwe.JWERegistry(
        algorithms=[*jwe.JWERegistry.algorithms["alg"], *jwe.JWERegistry.algorithms["enc"], "DEF"],
        strict_check_header=False,
    )
    compact = jwe.encrypt_compact(protected, plaintext, public_key_of(to), registry=registry)
    parts = dict(zip(MEMBERS, compact.split("."), strict=True))
    # RFC 7516 section 7.2.1: absent where it would be empty.
    body = {name: value for name, value in parts.items() if value} | (members or {})
    return signed(json.dumps(body).encode(), event_id=event_id, secret=secret, at=at)


def signed(
    body: bytes,
    *,
    event_id: str = "evt_1",
    secret: str = SECRET,
    at: dt.datetime | None = None,
) -> tuple[dict[str, str], bytes]:
    """Sign a body as it is."""
    moment = at or dt.datetime.now(tz=dt.UTC)
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Signer(secret).sign(event_id, moment, body.decode()),
    }
    return headers, body


def public_key_of(name: str) -> jwk.RSAKey | jwk.ECKey | jwk.OKPKey:
    return joserfc_key(json.dumps(vectors()[name].public_jwk).encode())


@contextmanager
def the_clock_at(timestamp: int) -> Iterator[None]:
    """Set back the clock of the library that verifies; it has no parameter for it."""

    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.fromtimestamp(timestamp, tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("standardwebhooks.webhooks.datetime", Clock)
        yield
