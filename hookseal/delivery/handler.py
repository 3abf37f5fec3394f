"""From a record of `events` to its deliveries: parse, check the partition, find the endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hookseal.delivery.delivery import NO_ATTEMPTS, letter_of
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.domain.attempt import Outcome
from hookseal.domain.dead_letter import REASONS, SUSPENDED
from hookseal.domain.event import (
    REROUTED_HEADER,
    event_id_if_any,
    is_broadcast,
    is_reserved,
    parse_event,
)
from hookseal.domain.record import last_header
from hookseal.errors import InvalidEventError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Ports
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant


class EventHandler:
    """Delivers the event of each record to its endpoints, or dead-letters the record."""

    def __init__(
        self,
        ports: Ports,
        deliverer: Deliverer,
        suspensions: SuspensionManager,
        *,
        event_max_bytes: int,
        broadcast_concurrency: int,
    ) -> None:
        self._ports = ports
        self._tenants = ports.tenants
        self._deliverer = deliverer
        self._suspensions = suspensions
        self._event_max_bytes = event_max_bytes
        self._broadcast_concurrency = broadcast_concurrency

    def customers(self, record: Record) -> list[str] | None:
        """Return the customers of a broadcast as of now; None for an event of one customer."""
        if not is_broadcast(record):
            return None
        try:
            parse_event(record, max_bytes=self._event_max_bytes)
            tenants = self._tenants.of_partition(record.partition)
        except Exception:  # noqa: BLE001
            # Handled as a whole, the record is dead-lettered once, not once for each customer.
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
            # A bug of ours must not block the partition permanently: Faust restarts a crashed actor
            # on the same record.
            self._ports.observer.crashed(event_id_if_any(record), error)
            await self._bury(record, "internal_error", customer_id=customer_id)

    async def _handle(
        self, record: Record, context: PartitionContext, customer_id: str | None
    ) -> None:
        event = parse_event(record, max_bytes=self._event_max_bytes)
        if customer_id is not None:
            tenant = self._tenants.get(customer_id)
            if tenant is not None and tenant.enabled:
                await self.fan_out(event, tenant, context)
            return
        if is_broadcast(record):
            await self._broadcast(event, context)
            return
        partition = self._ports.router.partition_of(event.customer_id)
        if partition != record.partition:
            await self._reroute(event, partition)
            return
        tenant = self._tenants.get(event.customer_id)
        if tenant is None:
            # On a fresh start an event may be read before the command that creates its tenant.
            await context.cancel_on_stop(self._tenants.settle(context.partition))
            tenant = self._tenants.get(event.customer_id)
        if tenant is None:
            await self._bury(record, "unknown_tenant")
        elif not tenant.enabled:
            await self._bury(record, "tenant_disabled")
        else:
            await self.fan_out(event, tenant, context)

    async def _reroute(self, event: Event, partition: int) -> None:
        if last_header(event.record.headers, REROUTED_HEADER) is not None:
            # Another worker chose this partition: the workers disagree on the number of
            # partitions. A second reroute could start a loop.
            await self._bury(event.record, "misrouted")
            return
        try:
            await self._ports.router.reroute(event, partition)
        except RecordRefusedError as error:
            text = f"The event was not moved: {error.message}"
            await self._bury(event.record, "misrouted", text)
        else:
            self._ports.observer.misrouted(event.customer_id)

    async def _broadcast(self, event: Event, context: PartitionContext) -> None:
        permits = asyncio.Semaphore(self._broadcast_concurrency)

        async def deliver(tenant: Tenant) -> None:
            async with permits:
                await self.fan_out(event, tenant, context)

        await _all_done(
            deliver(tenant)
            for tenant in self._tenants.of_partition(context.partition)
            if tenant.enabled
        )

    def fan_out(
        self, event: Event, tenant: Tenant, context: PartitionContext
    ) -> Coroutine[Any, Any, None]:
        """Deliver to the tenant's subscribed endpoints in parallel.

        Returns once each endpoint accepted the event or its dead letter is written.
        """
        if event.only_endpoint is not None:
            # A replay or a test goes to its endpoint, whatever that subscribes to. If the endpoint
            # was removed meanwhile, the event becomes a dead letter.
            endpoint_ids = [event.only_endpoint]
        elif is_reserved(event.type):
            endpoint_ids = [one.id for one in tenant.endpoints if one.enabled]
        else:
            endpoint_ids = [one.id for one in tenant.endpoints if one.wants(event.type)]
        deliveries = [
            self._deliver_to(event, tenant.customer_id, one, context) for one in endpoint_ids
        ]
        if len(deliveries) == 1:
            # The common case needs no task.
            return deliveries[0]
        if not deliveries:
            self._ports.observer.skipped(event)
        return _all_done(deliveries)

    async def _deliver_to(
        self, event: Event, customer_id: str, endpoint_id: str, context: PartitionContext
    ) -> None:
        endpoint_ref = (customer_id, endpoint_id)
        self._suspensions.begin(endpoint_ref)
        outcome = NO_ATTEMPTS
        try:
            while True:
                outcome = await self._deliverer.deliver(
                    event, customer_id, endpoint_id, context, outcome
                )
                is_due = self._suspensions.is_due(endpoint_ref, outcome)
                if outcome.accepted:
                    break
                if is_due and await self._suspensions.suspend(endpoint_ref, "exhausted", context):
                    # This event is the first one of the backlog.
                    error = REASONS[SUSPENDED]
                    outcome = replace(outcome, code=SUSPENDED, error=error, suspends=False)
                letter = letter_of(
                    event.record,
                    outcome,
                    event_id=event.id,
                    failed_at=self._ports.clock.now(),
                    key=customer_id.encode(),
                    endpoint_id=endpoint_id,
                )
                if letter.reason == SUSPENDED:
                    if await self._suspensions.defer(letter, endpoint_ref, context):
                        break
                    # The suspension ended meanwhile.
                    continue
                # A worker that was frozen during the attempt may have lost the partition. Then the
                # new owner decides about the event.
                await context.wait_for_ownership()
                # The offset may only move once the dead letter is written, or a crash here loses
                # the event.
                await self._ports.dead_letters.bury(letter)
                break
        finally:
            self._suspensions.end(endpoint_ref)
        self._ports.observer.delivered(event, customer_id, endpoint_id, outcome)

    async def _bury(
        self, record: Record, reason: str, error: str | None = None, customer_id: str | None = None
    ) -> None:
        await self._ports.dead_letters.bury(
            letter_of(
                record,
                Outcome(accepted=False, code=reason, error=error or REASONS[reason]),
                event_id=event_id_if_any(record),
                failed_at=self._ports.clock.now(),
                key=record.key if customer_id is None else customer_id.encode(),
            )
        )


async def _all_done(deliveries: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all of them to their end, then raise the first failure, if any.

    Unlike a task group it cancels none when one fails: the receiver may accept an attempt that is
    on the wire, and to cut it off would repeat it.
    """
    results = await asyncio.gather(*deliveries, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
