"""Events that hookseal itself sends to a tenant: a changed key, a test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from hookseal.domain.command import AddPublicKey, RemovePublicKey
from hookseal.domain.event import ENDPOINT_ID_HEADER, SEAL_TO_HEADER

if TYPE_CHECKING:
    from hookseal.domain.command import Command
    from hookseal.domain.record import Headers
    from hookseal.domain.tenant import PublicKey, Tenant

KEY_CHANGED = "hookseal.key.changed"
TEST = "hookseal.test"


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of hookseal's own, ready for `events`. Its id is the same for the same change."""

    customer_id: str
    event_id: str
    value: bytes
    headers: Headers


def key_changed(command: Command, before: Tenant | None, after: Tenant | None) -> Notice | None:
    """Return the notice that the applied command changed the active public key, or None.

    It is encrypted to the previous key, so that an attacker who replaced the key cannot hide the
    change from its owner. `before` equals `after` if the command had been applied earlier.
    """
    if before is None or after is None or after.result_of(command.id) != "ok":
        return None
    if isinstance(command, AddPublicKey):
        old = _before(after, command.kid)
        new: str | None = command.kid
    elif isinstance(command, RemovePublicKey):
        active = before.active_key
        old = active if active is not None and active.kid == command.kid else None
        new = None
    else:
        return None
    if old is None:
        return None
    digest = hashlib.sha256(f"{after.customer_id}\n{command.id}".encode()).hexdigest()
    return _notice(
        after.customer_id,
        KEY_CHANGED,
        f"evt_key_{digest[:32]}",
        {"previous_kid": old.kid, "kid": new},
        ((SEAL_TO_HEADER, msgspec.json.encode(old)),),
    )


def endpoint_test(customer_id: str, endpoint_id: str, event_id: str) -> Notice:
    """Return a test event for this endpoint only."""
    return _notice(
        customer_id,
        TEST,
        event_id,
        {"message": "This is a test event, requested at the API."},
        ((ENDPOINT_ID_HEADER, endpoint_id.encode()),),
    )


def _before(tenant: Tenant, kid: str) -> PublicKey | None:
    """Return the key that was added before this one."""
    kids = [key.kid for key in tenant.public_keys]
    index = kids.index(kid) if kid in kids else 0
    return tenant.public_keys[index - 1] if index else None


def _notice(
    customer_id: str, event_type: str, event_id: str, data: dict[str, Any], headers: Headers
) -> Notice:
    value = orjson.dumps({"type": event_type, "id": event_id, "data": data})
    return Notice(customer_id, event_id, value, headers)
