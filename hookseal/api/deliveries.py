"""The delivery log: what became of a tenant's events, attempt by attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.api import cursors
from hookseal.api.letter_schemas import Deliveries, DeliveryOut, DeliveryQuery
from hookseal.api.operations import Operation, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.commands import TenantChanges
    from hookseal.api.operations import Call
    from hookseal.api.ports import AttemptPages

__all__ = ["DeliveryOperations"]

_CAUGHT_UP_WITHIN_S = 5.0


class DeliveryOperations:
    """`/v1/tenants/{c}/deliveries`."""

    def __init__(self, *, changes: TenantChanges, attempts: AttemptPages) -> None:
        self._changes = changes
        self._attempts = attempts

    def operations(self) -> Sequence[Operation]:
        """Return what can be done here."""
        return (
            Operation(
                "GET",
                "/v1/tenants/{customer_id}/deliveries",
                "listDeliveries",
                "List attempts, newest first, by event or by endpoint.",
                "Deliveries",
                self._list,
                scope="deliveries:read",
                queries=DeliveryQuery,
                returns=Deliveries,
            ),
        )

    async def _list(self, call: Call) -> Reply:
        asked = call.query_as(DeliveryQuery)
        cursor = cursors.read_place(asked.cursor)
        await self._changes.tenant(call.customer_id)
        await self._attempts.catch_up(timeout_s=_CAUGHT_UP_WITHIN_S)
        found = await self._attempts.page(
            call.customer_id,
            event_id=asked.event_id,
            endpoint_id=asked.endpoint_id,
            limit=asked.limit,
            cursor=cursor,
        )
        if asked.endpoint_id is not None and not found.attempts:
            # One that was removed still has its history.
            await self._changes.endpoint(call.customer_id, asked.endpoint_id, field="endpoint_id")
        return Reply(
            Deliveries(
                items=[DeliveryOut(**attempt.document()) for attempt in found.attempts],
                next_cursor=cursors.write_place(found.next_cursor),
            )
        )
