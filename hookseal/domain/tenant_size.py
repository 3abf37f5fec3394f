"""How large a tenant's document may be.

Each limit on a part of a tenant (50 endpoints, 100 event types each, 20 headers each) is small. All
parts together are not: 50 endpoints may hold 1.3 MB of event types, and a broker takes records of
up to 1 MiB. So the whole document has a budget:

* `DOCUMENT_MAX_BYTES` (256 KiB) for commands that carry text of the tenant's choice.
* `DOCUMENT_HARD_MAX_BYTES` (512 KiB) for every command. What lies between the two is head room: at
  the budget an endpoint can still be suspended, disabled and rotated, and a key exchanged. All of
  these together need less than 100 KiB.

Both limits leave out the list of recent commands, so that the size of a tenant does not depend on
how often it was changed. That list has at most `RECENT_MAX_BYTES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hookseal.domain import tenant as tenants
from hookseal.errors import ConflictError

if TYPE_CHECKING:
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.tenant import Tenant

TENANT_TOO_LARGE = "tenant_too_large"

DOCUMENT_MAX_BYTES = 256 * 1024
DOCUMENT_HARD_MAX_BYTES = 2 * DOCUMENT_MAX_BYTES
# 32 results with an id of 128 characters and a fingerprint of 64. JSON may take six bytes for one
# character, and the code, the names and the quotes take less than 128 bytes.
RECENT_MAX_BYTES = tenants.RECENT_COMMANDS * ((128 + 64) * 6 + 128)

# `,"mac":"…"` with 43 characters of base64url.
_MAC_BYTES = 8 + 43 + 1
# A header value on Kafka is `sealed:1:` and base64url, without padding, of a nonce (12 bytes), the
# value and a tag (16 bytes).
_SEALED_PREFIX_BYTES = 9
_SEALED_OVERHEAD_BYTES = 12 + 16


def document_bytes(tenant: Tenant) -> int:
    """Return the size of the tenant's record value on the changelog in bytes.

    Custom headers count as they are stored, encrypted. The MAC counts. Recent commands do not.
    """
    stored = replace(tenant, recent=(), endpoints=tuple(map(_as_stored, tenant.endpoints)))
    return len(tenants.encode(stored)) + _MAC_BYTES


def too_large(tenant: Tenant) -> ConflictError:
    """Return the error for a change that does not fit into this tenant's document.

    The message names the size, the limit and the largest endpoint.
    """
    message = (
        f"The change does not fit: the tenant's document has {document_bytes(tenant):,} of at most "
        f"{DOCUMENT_MAX_BYTES:,} bytes. Shorten or remove event types, custom headers, "
        "descriptions or endpoints."
    )
    if tenant.endpoints:
        size, largest = max(
            (len(msgspec.json.encode(_as_stored(item))), item.id) for item in tenant.endpoints
        )
        message += f" The largest endpoint is {largest} ({size:,} bytes)."
    return ConflictError(TENANT_TOO_LARGE, message, field=tenant.customer_id)


def _as_stored(endpoint: Endpoint) -> Endpoint:
    if not endpoint.headers:
        return endpoint
    headers = {name: "x" * _encrypted_bytes(value) for name, value in endpoint.headers.items()}
    return replace(endpoint, headers=headers)


def _encrypted_bytes(value: str) -> int:
    bits = 8 * (len(value.encode()) + _SEALED_OVERHEAD_BYTES)
    # Six bits for each character, the last one filled up.
    return _SEALED_PREFIX_BYTES + -(-bits // 6)
