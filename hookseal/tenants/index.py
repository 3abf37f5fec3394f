"""Tenants in memory: documents, owners of API keys, their order, and waits for their changes."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

import msgspec

from hookseal.domain.tenant import decode
from hookseal.errors import InvalidInputError
from hookseal.telemetry.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hookseal.domain.tenant import Tenant

    Predicate = Callable[[Tenant | None], bool]

_log = logger(__name__)


class _KeyId(msgspec.Struct, gc=False):
    id: str


class _KeyIds(msgspec.Struct, gc=False):
    api_keys: tuple[_KeyId, ...] = ()


_key_ids = msgspec.json.Decoder(_KeyIds)


class TenantIndex:
    """The latest document of each tenant, as bytes: decoded tenants take several times the memory.

    Decoding takes microseconds, so each caller gets a new object.
    """

    def __init__(self, read: Callable[[bytes], Tenant] = decode) -> None:
        """Parse documents with `read`, which raises `InvalidInputError`."""
        self._read = read
        self._documents: dict[str, bytes] = {}
        self._holders: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._ordered: list[str] | None = None

    def __len__(self) -> int:
        return len(self._documents)

    def put(self, customer_id: str, document: bytes) -> Tenant:
        """Replace a tenant's document; return the tenant.

        An unreadable document removes the tenant: an API key in its earlier document may have been
        revoked since, and must not be accepted.

        Raises:
            InvalidInputError: `tenant_document_invalid`, `tenant_document_version`,
                `tenant_document_misplaced`.
        """
        try:
            tenant = self._read(document)
        except InvalidInputError:
            self.remove(customer_id)
            raise
        if tenant.customer_id != customer_id:
            self.remove(customer_id)
            raise InvalidInputError(
                "tenant_document_misplaced", "The document belongs to another tenant."
            )
        before = self._documents.get(customer_id)
        if before is not None:
            self._release(customer_id, before)
        elif self._ordered is not None:
            insort(self._ordered, customer_id)
        self._documents[customer_id] = document
        if any(one.state in ("suspended", "paused") for one in tenant.endpoints):
            self._stopped.add(customer_id)
        else:
            self._stopped.discard(customer_id)
        self._claim(customer_id, (key.id for key in tenant.api_keys))
        return tenant

    def remove(self, customer_id: str) -> None:
        """Remove a tenant, if it exists."""
        before = self._documents.pop(customer_id, None)
        if before is None:
            return
        self._release(customer_id, before)
        self._stopped.discard(customer_id)
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
        """Return up to `limit` tenants behind a customer id (None = from the first), by id."""
        ordered = self.sort()
        start = 0 if after is None else bisect_right(ordered, after)
        return [
            self._read(self._documents[customer_id])
            for customer_id in ordered[start : start + limit]
        ]

    def stopped(self) -> list[Tenant]:
        """Return the tenants with a suspended or paused endpoint, by id."""
        return [self._read(self._documents[one]) for one in sorted(self._stopped)]

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
                # Ids are random: this is a defect or an attack. The first owner keeps the id. The
                # key of the other tenant is not accepted.
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


class TenantWaiters:
    """Waiting callers by customer id: a change wakes only the callers of its tenant."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[Tenant | None], Predicate]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._waiting))

    async def wait(
        self, customer_id: str, predicate: Predicate, *, timeout_s: float
    ) -> Tenant | None:
        """Return the first state of the tenant, from now on, for which the predicate holds.

        Errors of the predicate are raised.

        Raises:
            TimeoutError: It held for none within `timeout_s` seconds.
        """
        answer: asyncio.Future[Tenant | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(customer_id, {})[answer] = predicate
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._waiting[customer_id][answer]
            if not self._waiting[customer_id]:
                del self._waiting[customer_id]

    def notify(self, customer_id: str, tenant: Tenant | None) -> None:
        """Pass the new state of a tenant to its callers; None = deleted."""
        for answer, predicate in self._waiting.get(customer_id, {}).items():
            if answer.done():
                continue
            try:
                if predicate(tenant):
                    answer.set_result(tenant)
            except Exception as error:  # noqa: BLE001 - raised to the caller whose predicate failed
                answer.set_exception(error)
