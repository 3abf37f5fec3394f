"""From a record of `events` to its deliveries: parse, check the partition, find the tenant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hookseal.delivery.fanout import all_done
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.domain.dead_letter import REASONS, DeadLetter
from hookseal.domain.event import (
    REROUTED_HEADER,
    event_id_if_any,
    is_broadcast,
    parse_event,
)
from hookseal.domain.record import last_header
from hookseal.errors import InvalidEventError, RecordRefusedError

if TYPE_CHECKING:
    from hookseal.delivery.fanout import Fanout
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock, DeadLetters, Observer, Router, Tenants
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant


class EventHandler:
    """Delivers the event of each record, or dead-letters the record."""

    def __init__(
        self,
        *,
        tenants: Tenants,
        fanout: Fanout,
        router: Router,
        dead_letters: DeadLetters,
        observer: Observer,
        clock: Clock,
        event_max_bytes: int,
        broadcast_concurrency: int,
    ) -> None:
        self._tenants = tenants
        self._fanout = fanout
        self._router = router
        self._dead_letters = dead_letters
        self._observer = observer
        self._clock = clock
        self._event_max_bytes = event_max_bytes
        self._broadcast_concurrency = broadcast_concurrency

    def customers(self, record: Record) -> list[str] | None:
        """Return the customers that a broadcast goes to now; None for an event of one customer."""
        if not is_broadcast(record):
            return None
        try:
            parse_event(record, max_bytes=self._event_max_bytes)
            tenants = self._tenants.of_partition(record.partition)
        except Exception:  # noqa: BLE001
            # Handled as a whole it is dead-lettered once, not once for each customer.
            return None
        return [tenant.customer_id for tenant in tenants if tenant.enabled]

    async def __call__(
        self, record: Record, context: PartitionContext, customer_id: str | None = None
    ) -> None:
        """Return once the event is delivered, dead-lettered or deferred.

        With `customer_id`, only that customer's part of a broadcast is handled.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        if not context.is_ours():
            await context.wait_for_ownership()
        try:
            await self._handle(record, context, customer_id)
        except InvalidEventError as error:
            await self._bury(record, error.code, error.message)
        except PartitionStoppedError:
            raise
        except Exception as error:  # noqa: BLE001
            # A bug of ours must not stop the partition for good: Faust restarts a crashed actor
            # on the same record.
            self._observer.crashed(event_id_if_any(record), error)
            await self._bury(record, "internal_error", REASONS["internal_error"], customer_id)

    async def _handle(
        self, record: Record, context: PartitionContext, customer_id: str | None
    ) -> None:
        event = parse_event(record, max_bytes=self._event_max_bytes)
        if customer_id is not None:
            tenant = self._tenants.get(customer_id)
            if tenant is not None and tenant.enabled:
                await self._fanout.deliver(event, tenant, context)
            return
        if is_broadcast(record):
            await self._broadcast(event, context)
            return
        partition = self._router.partition_of(event.customer_id)
        if partition == record.partition:
            await self._deliver(event, context)
        elif last_header(record.headers, REROUTED_HEADER) is None:
            try:
                await self._router.reroute(event, partition)
            except RecordRefusedError as error:
                await self._bury(record, "misrouted", f"The event was not moved: {error.message}")
            else:
                self._observer.misrouted(event.customer_id)
        else:
            # Another worker took this for the right partition: the workers disagree on the
            # number of partitions. To reroute the event once more could go on forever.
            await self._bury(record, "misrouted", REASONS["misrouted"])

    async def _deliver(self, event: Event, context: PartitionContext) -> None:
        tenant = self._tenants.get(event.customer_id)
        if tenant is None:
            # On a fresh start an event may be read before the command that creates its tenant.
            await context.cancel_on_stop(self._tenants.settle(context.partition))
            tenant = self._tenants.get(event.customer_id)
        if tenant is None:
            await self._bury(event.record, "unknown_tenant", REASONS["unknown_tenant"])
        elif not tenant.enabled:
            await self._bury(event.record, "tenant_disabled", REASONS["tenant_disabled"])
        else:
            await self._fanout.deliver(event, tenant, context)

    async def _broadcast(self, event: Event, context: PartitionContext) -> None:
        room = asyncio.Semaphore(self._broadcast_concurrency)

        async def deliver(tenant: Tenant) -> None:
            async with room:
                await self._fanout.deliver(event, tenant, context)

        await all_done(
            deliver(tenant)
            for tenant in self._tenants.of_partition(context.partition)
            if tenant.enabled
        )

    async def _bury(
        self, record: Record, reason: str, error: str, customer_id: str | None = None
    ) -> None:
        await self._dead_letters.bury(
            DeadLetter(
                record=record,
                reason=reason,
                error=error,
                event_id=event_id_if_any(record),
                failed_at=self._clock.now(),
                key=record.key if customer_id is None else customer_id.encode(),
            )
        )
