"""A tenant's side: verify, open, answer. Unmodified libraries, and nothing of ours.

What stands in `Opener.open` is all that a receiver has to do; it shares no code with the
sender, which it meets at the wire format alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookseal.errors import InvalidInputError, InvalidKeyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ["ExampleReceiver", "Opened", "Opener", "private_keys"]

# Pinned: what a sender may choose is decided here, and its RSA-OAEP is not SHA-1's.
_ALGORITHMS = ("RSA-OAEP-256", "ECDH-ES", "A256GCM")


@dataclass(frozen=True, slots=True)
class Opened:
    """One request, verified and opened.

    Attributes:
        body: As it came on the wire.
        plaintext: What was sealed in it.
        event: The same, parsed.
    """

    body: bytes
    plaintext: bytes = field(repr=False)
    event: dict[str, Any] = field(repr=False)


class Opener:
    """Verifies and opens requests."""

    def __init__(
        self, keys: KeySet, secrets: Iterable[str], *, endpoint_id: str | None = None
    ) -> None:
        """Prepare.

        Args:
            keys: The tenant's private keys.
            secrets: Signing secrets, `whsec_…`; one of them must fit.
            endpoint_id: Which endpoint this is; not compared when None.

        Raises:
            InvalidInputError: `secret_invalid`.
        """
        self._keys = keys
        self._endpoint_id = endpoint_id
        self._registry = jwe.JWERegistry(algorithms=_ALGORITHMS)
        self._webhooks = [_webhook(secret) for secret in secrets]

    def open(self, headers: Mapping[str, str], body: bytes) -> Opened:
        """Verify the signature, open the body, compare the ids.

        Raises:
            InvalidInputError: `signature_invalid`, `not_opened`, `id_differs`.
        """
        sealed = self._verify(headers, body)
        try:
            opened = jwe.decrypt_json(sealed, self._keys, registry=self._registry)
            plaintext = opened.plaintext or b""
            event = json.loads(plaintext)
            event_id, endpoint_id = event["id"], event["endpoint_id"]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                "not_opened", f"The body cannot be opened: {type(error).__name__}."
            ) from None
        # The signature covers the header's id, and the seal the event's: only together do
        # they say that this body belongs to this id and to this endpoint.
        if event_id != headers["webhook-id"]:
            raise InvalidInputError("id_differs", "The event is another one than was announced.")
        if self._endpoint_id not in (None, endpoint_id):
            raise InvalidInputError("id_differs", "The event is for another endpoint.")
        return Opened(body, plaintext, event)

    def _verify(self, headers: Mapping[str, str], body: bytes) -> Any:
        for webhook in self._webhooks:
            try:
                return webhook.verify(body, dict(headers))
            except (WebhookVerificationError, ValueError):
                continue
        raise InvalidInputError("signature_invalid", "No signing secret fits the signature.")


class ExampleReceiver:
    """An HTTP server that opens what it gets; an asynchronous context manager."""

    def __init__(
        self,
        *,
        answer: Callable[[Opened], Awaitable[int]],
        refused: Callable[[InvalidInputError], None],
        opener: Opener | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Prepare.

        Args:
            answer: Returns the HTTP status for an opened request.
            refused: Told of each request that could not be verified and opened; it is
                answered with 400.
            opener: May be given later; until then every request is answered with 503.
            host: Address to listen on.
            port: 0 takes any that is free.
        """
        self.opener = opener
        self._answer = answer
        self._refused = refused
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._runner.addresses[0][1])

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.opener is None:
            return web.Response(status=503)
        try:
            opened = self.opener.open(request.headers, body)
        except InvalidInputError as error:
            self._refused(error)
            return web.json_response({"code": error.code}, status=400)
        return web.Response(status=await self._answer(opened))


def private_keys(pems: Iterable[bytes]) -> KeySet:
    """Return a key set whose key ids are RFC 7638 thumbprints.

    Raises:
        InvalidKeyError: `key_format`, `key_unsupported`.
    """
    return KeySet([_private_key(pem) for pem in pems])


def _webhook(secret: str) -> Webhook:
    if secret.removeprefix("whsec_"):
        try:
            return Webhook(secret)
        except ValueError:
            pass
    raise InvalidInputError(
        "secret_invalid", "A signing secret is whsec_ and base64 behind it.", field="secret"
    )


def _private_key(pem: bytes) -> RSAKey | ECKey | OKPKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise InvalidKeyError(
            "key_format", "Give a private key as PEM, without a passphrase.", field="key"
        ) from None
    if isinstance(key, RSAPrivateKey):
        return RSAKey.import_key(pem)
    if isinstance(key, EllipticCurvePrivateKey):
        return ECKey.import_key(pem)
    if isinstance(key, X25519PrivateKey):
        return OKPKey.import_key(pem)
    raise InvalidKeyError("key_unsupported", "Give an RSA, P-256 or X25519 key.", field="key")
