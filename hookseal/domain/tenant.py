"""A tenant in the tenants table: one customer of the provider."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson

from hookseal.domain.api_key import ApiKey
from hookseal.domain.endpoint import Endpoint
from hookseal.errors import InvalidInputError

DOCUMENT_VERSION = 1
RECENT_COMMANDS = 32


class PublicKey(msgspec.Struct, frozen=True):
    """A public key of a tenant.

    Attributes:
        kid: Its RFC 7638 thumbprint.
        alg: `RSA-OAEP-256` or `ECDH-ES`.
        jwk: RFC 7517, public members only.
        state: `active` encrypts; `retiring` is the previous key.
    """

    kid: str
    alg: str
    jwk: dict[str, str]
    state: Literal["active", "retiring"] = "active"

    def jwk_json(self) -> bytes:
        """Return the key as canonical JSON; equal keys give equal bytes."""
        return orjson.dumps(self.jwk, option=orjson.OPT_SORT_KEYS)


class CommandResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command ended.

    Attributes:
        code: `ok` or the code of its refusal.
        fingerprint: Of the command; empty if it had none.
    """

    id: str
    code: str
    fingerprint: str = ""


class Tenant(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tenant's whole document.

    Attributes:
        customer_id: The tenant's stable id and the record key.
        revision: Grows by one with each change, from 1.
        api_keys: The valid ones, in the order they were added.
        recent: The latest commands, oldest first: the sender reads the result here, and a
            command that Kafka delivers twice is applied once.
    """

    customer_id: str
    revision: int
    name: str = ""
    enabled: bool = True
    public_keys: tuple[PublicKey, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()
    recent: tuple[CommandResult, ...] = ()

    @property
    def active_key(self) -> PublicKey | None:
        """The key to seal to."""
        # Here and below a loop, which takes half of what a generator does: each attempt asks.
        for key in self.public_keys:
            if key.state == "active":
                return key
        return None

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint of that id, or None."""
        for item in self.endpoints:
            if item.id == endpoint_id:
                return item
        return None

    def api_key(self, key_id: str) -> ApiKey | None:
        """Return the API key of that id, or None."""
        return next((item for item in self.api_keys if item.id == key_id), None)

    def recent_of(self, command_id: str) -> CommandResult | None:
        """Return how a recent command ended; None if it is not known."""
        return next((item for item in self.recent if item.id == command_id), None)

    def result_of(self, command_id: str) -> str | None:
        """Return `ok` or the code of the command's refusal; None if it is not known."""
        known = self.recent_of(command_id)
        return None if known is None else known.code

    def noting(self, result: CommandResult) -> Tenant:
        """Return the tenant with the command's result noted."""
        recent = (*self.recent, result)[-RECENT_COMMANDS:]
        return msgspec.structs.replace(self, recent=recent)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Tenant)


def encode(tenant: Tenant) -> bytes:
    """Encode the document for the changelog: JSON with its version."""
    document: dict[str, Any] = {"v": DOCUMENT_VERSION, **msgspec.to_builtins(tenant)}
    return _encoder.encode(document)


def decode(document: bytes) -> Tenant:
    """Read a document.

    Raises:
        InvalidInputError: `tenant_document_invalid`, `tenant_document_version`.
    """
    try:
        tenant = _decoder.decode(document)
        version = _Version.decode(document).v
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError(
            "tenant_document_invalid", f"Not a tenant document: {type(error).__name__}."
        ) from None
    if version != DOCUMENT_VERSION:
        raise InvalidInputError(
            "tenant_document_version",
            f"The document has version {version}; this release reads {DOCUMENT_VERSION}. Upgrade.",
        )
    return tenant


class _Versioned(msgspec.Struct):
    v: int


_Version = msgspec.json.Decoder(_Versioned)
