"""Waits for a change of one tenant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hookseal.domain.tenant import Tenant

    Predicate = Callable[[Tenant | None], bool]


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
