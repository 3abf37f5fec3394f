"""A tenant in the tenants table: one customer of the provider.

A broker takes records of up to 1 MiB, and 50 endpoints may hold 1.3 MB of event types. So the
document is limited: to `DOCUMENT_MAX_BYTES` (256 KiB) by commands that carry text of the tenant's
choice, to `DOCUMENT_HARD_MAX_BYTES` (512 KiB) by every command. At the first limit an endpoint can
still be suspended, disabled and rotated, and a key exchanged: all of these need less than 100 KiB.
Both limits exclude the list of recent commands, which has at most `RECENT_MAX_BYTES`, so that the
size of a tenant does not depend on how often it was changed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson
from msgspec.structs import replace

from hookseal.domain.endpoint import Endpoint
from hookseal.errors import InvalidCommandError, InvalidInputError

# Two: the current key and its successor.
API_KEYS_MAX = 2

SCOPES = ("events:write", "endpoints:write", "keys:write", "deliveries:read", "replay")
DOCUMENT_VERSION = 1
DOCUMENT_MAX_BYTES = 256 * 1024
DOCUMENT_HARD_MAX_BYTES = 2 * DOCUMENT_MAX_BYTES
RECENT_COMMANDS = 32
# 32 results with an id of 128 characters and a fingerprint of 64. JSON may take six bytes for one
# character, and the code, the names and the quotes take less than 128 bytes.
RECENT_MAX_BYTES = RECENT_COMMANDS * ((128 + 64) * 6 + 128)

# `,"mac":"…"` with 43 characters of base64url.
_MAC_BYTES = 8 + 43 + 1
# A header value on Kafka is `sealed:1:` and base64url, without padding, of a nonce (12 bytes), the
# value and a tag (16 bytes).
_SEALED_PREFIX_BYTES = 9
_SEALED_OVERHEAD_BYTES = 12 + 16


class PublicKey(msgspec.Struct, frozen=True):
    """A public key of a tenant.

    Attributes:
        kid: RFC 7638 thumbprint with SHA-256, 43 base64url characters.
        alg: `RSA-OAEP-256` or `ECDH-ES`.
        jwk: RFC 7517, the required public members only.
        state: `active` encrypts; `retiring` is a previous key.
    """

    kid: str
    alg: str
    jwk: dict[str, str]
    state: Literal["active", "retiring"] = "active"

    def __repr__(self) -> str:
        return f"PublicKey(kid={self.kid!r}, alg={self.alg!r}, state={self.state!r})"

    def jwk_json(self) -> bytes:
        """Return the key as canonical JSON; equal keys give equal bytes."""
        return orjson.dumps(self.jwk, option=orjson.OPT_SORT_KEYS)


class ApiKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A valid API key: a digest, never the key.

    Attributes:
        id: The public part of the key, by which it is found.
        digest: base64url of HMAC-SHA256 over the whole key under a pepper.
        pepper: Version of the pepper.
        scopes: In the order of `SCOPES`.
        created_at: Unix seconds.
        salt: Random part of a key that was created under an Idempotency-Key; empty for others.
    """

    id: str
    digest: str
    pepper: int
    scopes: tuple[str, ...]
    created_at: float = 0.0
    salt: str = ""


class CommandResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of a command: `ok` or the code of its refusal."""

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
        """The key to encrypt to."""
        # A loop here and below takes half the time of a generator, and each attempt asks.
        for key in self.public_keys:
            if key.state == "active":
                return key
        return None

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """Return the endpoint with this id, or None."""
        for item in self.endpoints:
            if item.id == endpoint_id:
                return item
        return None

    def api_key(self, key_id: str) -> ApiKey | None:
        """Return the API key with this id, or None."""
        return next((item for item in self.api_keys if item.id == key_id), None)

    def recent_of(self, command_id: str) -> CommandResult | None:
        """Return the result of a recent command; None = unknown."""
        return next((item for item in self.recent if item.id == command_id), None)

    def result_of(self, command_id: str) -> str | None:
        """Return `ok` or the code of a recent command's refusal; None = unknown."""
        known = self.recent_of(command_id)
        return None if known is None else known.code

    def noting(self, result: CommandResult) -> Tenant:
        """Return the tenant with the result among its recent commands."""
        return replace(self, recent=(*self.recent, result)[-RECENT_COMMANDS:])


class _Versioned(msgspec.Struct):
    v: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Tenant)
_version_decoder = msgspec.json.Decoder(_Versioned)


def encode(tenant: Tenant) -> bytes:
    """Encode the document for the changelog: JSON with its version."""
    document: dict[str, Any] = {"v": DOCUMENT_VERSION, **msgspec.to_builtins(tenant)}
    return _encoder.encode(document)


def decode(document: bytes) -> Tenant:
    """Read a document.

    Raises InvalidInputError: `tenant_document_invalid`, `tenant_document_version`.
    """
    try:
        tenant = _decoder.decode(document)
        version = _version_decoder.decode(document).v
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


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes in order, or raise InvalidCommandError: `scopes_invalid`."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidCommandError(
            "scopes_invalid", f"Give one or more of {', '.join(SCOPES)}.", field="scopes"
        )
    return tuple(scope for scope in SCOPES if scope in scopes)


def document_bytes(tenant: Tenant) -> int:
    """Return the size of the tenant's record value on the changelog in bytes.

    Custom headers count as they are stored, encrypted. The MAC counts. Recent commands do not.
    """
    stored = replace(tenant, recent=(), endpoints=tuple(map(_as_stored, tenant.endpoints)))
    return len(encode(stored)) + _MAC_BYTES


def largest_endpoint(tenant: Tenant) -> tuple[int, str]:
    """Return the bytes and the id of the largest endpoint of a tenant that has one."""
    return max((len(_encoder.encode(_as_stored(item))), item.id) for item in tenant.endpoints)


def _as_stored(endpoint: Endpoint) -> Endpoint:
    if not endpoint.headers:
        return endpoint
    headers = {name: "x" * _encrypted_bytes(value) for name, value in endpoint.headers.items()}
    return replace(endpoint, headers=headers)


def _encrypted_bytes(value: str) -> int:
    bits = 8 * (len(value.encode()) + _SEALED_OVERHEAD_BYTES)
    # Six bits for each character, the last one filled up.
    return _SEALED_PREFIX_BYTES + -(-bits // 6)
