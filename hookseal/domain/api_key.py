"""A tenant's API key in the tenants table: a digest, never the key."""

from __future__ import annotations

import msgspec

from hookseal.errors import InvalidCommandError

# Two: the current key and its successor.
API_KEYS_MAX = 2

SCOPES = ("events:write", "endpoints:write", "keys:write", "deliveries:read", "replay")


class ApiKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A valid key; a revoked one is no longer in the table.

    Attributes:
        id: The public part of the key, by which it is found.
        digest: base64url of HMAC-SHA256 over the whole key under a pepper.
        pepper: Version of the pepper.
        scopes: In the order of `SCOPES`.
        created_at: Unix seconds.
    """

    id: str
    digest: str
    pepper: int
    scopes: tuple[str, ...]
    created_at: float = 0.0


def check_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes in order, or raise InvalidCommandError: `scopes_invalid`."""
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidCommandError(
            "scopes_invalid", f"Give one or more of {', '.join(SCOPES)}.", field="scopes"
        )
    return tuple(scope for scope in SCOPES if scope in scopes)
