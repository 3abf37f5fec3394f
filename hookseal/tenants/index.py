"""Tenants in memory: documents, owners of API keys, and their order."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

import msgspec
import structlog

from hookseal.domain.tenant import decode
from hookseal.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.domain.tenant import Tenant

# Wrapped around the standard logger, since structlog alone prints on stdout where nobody has
# set it up, and there is what a command prints.
_log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(__name__), wrapper_class=structlog.stdlib.BoundLogger
)


class _KeyId(msgspec.Struct, gc=False):
    id: str


class _KeyIds(msgspec.Struct, gc=False):
    api_keys: tuple[_KeyId, ...] = ()


_key_ids = msgspec.json.Decoder(_KeyIds)


class TenantIndex:
    """The latest document of each tenant, as bytes.

    Decoded, 200,000 tenants would take several times the memory. Decoding one takes microseconds,
    so each caller gets a new object.
    """

    def __init__(self, read: Callable[[bytes], Tenant] = decode) -> None:
        """Parse documents with `read`, which raises `InvalidInputError`."""
        self._read = read
        self._documents: dict[str, bytes] = {}
        self._holders: dict[str, str] = {}
        self._ordered: list[str] | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def put(self, customer_id: str, document: bytes) -> Tenant:
        """Replace a tenant's document; return the tenant.

        If the document is unreadable, the tenant is absent: its earlier document no longer holds,
        and an API key that may be revoked must not pass.

        Raises:
            InvalidInputError: `tenant_document_invalid`, `tenant_document_version`,
                `tenant_document_misplaced`.
        """
        try:
            tenant = _placed(self._read(document), customer_id)
        except InvalidInputError:
            self.remove(customer_id)
            raise
        before = self._documents.get(customer_id)
        if before is not None:
            self._release(customer_id, before)
        elif self._ordered is not None:
            insort(self._ordered, customer_id)
        self._documents[customer_id] = document
        self._claim(customer_id, (key.id for key in tenant.api_keys))
        return tenant

    def remove(self, customer_id: str) -> None:
        """Remove a tenant, if it exists."""
        before = self._documents.pop(customer_id, None)
        if before is None:
            return
        self._release(customer_id, before)
        if self._ordered is not None:
            del self._ordered[bisect_left(self._ordered, customer_id)]

    def get(self, customer_id: str) -> Tenant | None:
        """Return the tenant, or None."""
        document = self._documents.get(customer_id)
        return None if document is None else self._read(document)

    def customer_of(self, key_id: str) -> str | None:
        """Return the owner of the API key, or None."""
        return self._holders.get(key_id)

    def page(self, after: str | None, limit: int) -> list[Tenant]:
        """Return up to `limit` tenants after a customer id, ordered by id.

        Args:
            after: A customer id, not necessarily a tenant's; None = from the first.
            limit: At least 0.
        """
        ordered = self.sort()
        start = 0 if after is None else bisect_right(ordered, after)
        return [
            self._read(self._documents[customer_id])
            for customer_id in ordered[start : start + limit]
        ]

    def sort(self) -> list[str]:
        """Return the ordered customer ids; from the first call on, the order is maintained.

        Maintaining it while the changelog is read would take seconds for a large table. Sorting
        200,000 ids once takes about 50 ms.
        """
        if self._ordered is None:
            self._ordered = sorted(self._documents)
        return self._ordered

    def _claim(self, customer_id: str, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            holder = self._holders.setdefault(key_id, customer_id)
            if holder != customer_id:
                # Ids are drawn at random: this is a fault or an attack. Who had it first
                # keeps it; the key of the other one does not pass.
                _log.error(
                    "tenants.api_key_conflict",
                    key_id=key_id,
                    holder=holder,
                    customer_id=customer_id,
                )

    def _release(self, customer_id: str, document: bytes) -> None:
        for key in _key_ids.decode(document).api_keys:
            if self._holders.get(key.id) == customer_id:
                del self._holders[key.id]


def _placed(tenant: Tenant, customer_id: str) -> Tenant:
    if tenant.customer_id != customer_id:
        raise InvalidInputError("tenant_document_misplaced", "The document is another tenant's.")
    return tenant
