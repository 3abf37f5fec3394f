"""Waits for a change of one tenant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hookseal.domain.tenant import Tenant


@dataclass(eq=False, slots=True)
class _Waiter:
    holds: Callable[[Tenant | None], bool]
    answer: asyncio.Future[Tenant | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class TenantWaiters:
    """Waiting callers by customer id: a change wakes only the callers of its tenant."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[_Waiter]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._waiting))

    async def wait(
        self, customer_id: str, holds: Callable[[Tenant | None], bool], *, timeout_s: float
    ) -> Tenant | None:
        """Return the first state of the tenant, from now on, for which the predicate holds.

        Args:
            customer_id: Whose tenant.
            holds: Asked for every state; what it raises is raised here.
            timeout_s: Seconds to wait.

        Raises:
            TimeoutError: It held for none.
        """
        waiter = _Waiter(holds)
        self._waiting.setdefault(customer_id, set()).add(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.answer
        finally:
            others = self._waiting[customer_id]
            others.discard(waiter)
            if not others:
                del self._waiting[customer_id]

    def tell(self, customer_id: str, tenant: Tenant | None) -> None:
        """Tell the callers of a tenant its new state; None = deleted."""
        for waiter in self._waiting.get(customer_id, ()):
            if waiter.answer.done():
                continue
            try:
                held = waiter.holds(tenant)
            except Exception as error:  # noqa: BLE001 - the asker's fault, told to the asker
                waiter.answer.set_exception(error)
            else:
                if held:
                    waiter.answer.set_result(tenant)
