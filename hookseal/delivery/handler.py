"""From a record of `events` to its deliveries: parse, check the partition, find the endpoints."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hookseal.delivery.delivery import NO_ATTEMPTS, letter_of
from hookseal.delivery.ordering.partition import PartitionStoppedError
from hookseal.delivery.ordering.scheduler import Part
from hookseal.domain.attempt import Outcome
from hookseal.domain.dead_letter import REASONS, SUSPENDED
from hookseal.domain.endpoint import looser
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
    from collections.abc import Collection, Coroutine, Iterable, Sequence

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ordering.scheduler import OrderingKey
    from hookseal.delivery.ports import Ports
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Endpoint, EndpointOrdering, Ordering
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record
    from hookseal.domain.tenant import Tenant

    Beside = Collection[EndpointRef]

_NONE: Beside = frozenset()


def _deferred(outcome: Outcome) -> Outcome:
    return replace(outcome, code=SUSPENDED, error=REASONS[SUSPENDED], suspends=False)


_DEFERRED = _deferred(NO_ATTEMPTS)


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
        self._relaxed: set[bytes] = set()

    def split(self, record: Record, ordering: Ordering) -> list[Part] | None:
        """Divide the record as of now; None = it is handled as a whole.

        Each endpoint that wants the event has a part, with its ordering mode. In the mode
        `customer` a tenant of a broadcast has one part if its endpoints have no modes of their own.
        In the mode `partition` the parts of a broadcast are those of endpoints with one.
        """
        broadcast = is_broadcast(record)
        by_endpoint = ordering in ("endpoint", "key")
        try:
            if not broadcast and not by_endpoint and not self._is_relaxed(record.key, ordering):
                return None
            event = parse_event(record, max_bytes=self._event_max_bytes)
            if broadcast and ordering == "partition":
                tenants: Sequence[Tenant] = self._relaxed_of(record.partition)
            elif broadcast:
                tenants = self._tenants.of_partition(record.partition)
            elif self._ports.router.partition_of(event.customer_id) == record.partition:
                tenants = list(filter(None, [self._tenants.get(event.customer_id)]))
            else:
                tenants = []
        except Exception:  # noqa: BLE001
            # Handled as a whole, the record is dead-lettered once, not once for each part.
            return None
        enabled = [tenant for tenant in tenants if tenant.enabled]
        if not broadcast and not enabled:
            return [Part(event, event.customer_id, ())] if tenants and by_endpoint else None
        parts = [part for tenant in enabled for part in self._parts_of(event, tenant, ordering)]
        if broadcast and ordering == "partition":
            # With a part for all others, as long as one endpoint does not wait for them.
            return [*parts, Part(event, "", None, "partition")] if parts else None
        if not parts:
            self._ports.observer.skipped(event)
        return parts

    def _parts_of(self, event: Event, tenant: Tenant, ordering: Ordering) -> list[Part]:
        if ordering == "customer" and not self._is_relaxed(tenant.customer_id.encode(), ordering):
            return [Part(event, tenant.customer_id, None, ordering)]
        customer_id = tenant.customer_id
        modes = {one.id: looser(ordering, _own_ordering(one, ordering)) for one in tenant.endpoints}
        # Those, too, that do not subscribe to this event.
        relaxed = frozenset((customer_id, one) for one, mode in modes.items() if mode != ordering)
        return [
            Part(event, customer_id, (one,), modes.get(one, ordering), beside=relaxed)
            for one in _endpoint_ids(event, tenant)
        ]

    def _relaxed_of(self, partition: int) -> Sequence[Tenant]:
        """Return at least the tenants of the partition for which `_is_relaxed` holds."""
        names = [key.decode() for key in self._relaxed]
        found = [
            *self._tenants.relaxed_of(partition),
            *self._tenants.suspended_of(partition),
            *(
                self._tenants.get(name)
                for name in names
                if self._ports.router.partition_of(name) == partition
            ),
        ]
        return list({one.customer_id: one for one in found if one is not None}.values())

    def _is_relaxed(self, key: bytes | None, ordering: Ordering) -> bool:
        """Whether an endpoint of the tenant has, or had, an ordering mode of its own.

        Events that were read when it had one may still wait in a queue of its own.
        """
        if key is None or key in self._relaxed:
            return key is not None
        tenant = self._tenants.get(key.decode())
        # A loop takes half the time of a generator, and each event asks.
        for endpoint in () if tenant is None else tenant.endpoints:
            if _own_ordering(endpoint, ordering) is not None:
                self._relaxed.add(key)
                return True
        return False

    async def __call__(
        self, record: Record, context: PartitionContext, part: Part | None = None
    ) -> None:
        """Return once the event is delivered, dead-lettered or deferred.

        With `part`, only that part of it is handled.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        if not context.is_ours():
            await context.wait_for_ownership()
        try:
            if part is None:
                event = parse_event(record, max_bytes=self._event_max_bytes)
                await self._handle(event, context)
            else:
                await self._handle_part(part, context)
        except InvalidEventError as error:
            await self._bury(record, error.code, error.message)
        except PartitionStoppedError:
            raise
        except Exception as error:  # noqa: BLE001
            # A bug of ours must not block the partition permanently: Faust restarts a crashed actor
            # on the same record.
            self._ports.observer.crashed(event_id_if_any(record), error)
            customer_id = None if part is None else part.customer_id
            await self._bury(record, "internal_error", customer_id=customer_id or None)

    async def _handle_part(self, part: Part, context: PartitionContext) -> None:
        tenant = self._tenants.get(part.customer_id)
        if not part.customer_id:
            await self._handle(part.event, context, part.beside)
        elif part.endpoint_ids:
            await self._deliver_to_all(part.event, part.customer_id, part.endpoint_ids, context)
        elif part.endpoint_ids is not None:
            await self._bury(part.event.record, "tenant_disabled")
        elif tenant is not None and tenant.enabled:
            await self.fan_out(part.event, tenant, context, part.beside)

    async def defer(
        self, parts: Sequence[tuple[Record, OrderingKey]], context: PartitionContext
    ) -> int:
        """Defer the first parts, as far as all their endpoints are suspended; return how many.

        They are written together, in their order.
        """
        deferred: list[tuple[Event, EndpointRef]] = []
        count = 0
        for record, ordering_key in parts:
            try:
                found = self._to_defer(record, ordering_key)
            except Exception:  # noqa: BLE001
                # Handled alone, the record is dead-lettered.
                break
            if not found:
                break
            deferred += found
            count += 1
        if not deferred:
            return 0
        letters = [
            self._letter(event, _DEFERRED, *endpoint_ref) for event, endpoint_ref in deferred
        ]
        endpoint_refs = {endpoint_ref for _, endpoint_ref in deferred}
        if not await self._suspensions.defer_all(letters, endpoint_refs, context):
            return 0
        for event, endpoint_ref in deferred:
            self._ports.observer.delivered(event, *endpoint_ref, _DEFERRED)
        return count

    def _to_defer(
        self, record: Record, ordering_key: OrderingKey
    ) -> list[tuple[Event, EndpointRef]] | None:
        """Return the deliveries of a part, all to suspended endpoints; None = it is to be tried."""
        part = ordering_key.part
        customer_id = (record.key or b"").decode("utf-8", "replace")
        if part is not None and part.customer_id:
            customer_id = part.customer_id
        tenant = self._tenants.get(customer_id)
        # Without this check each record of a healthy tenant would be parsed twice.
        if tenant is None or not tenant.enabled or not any(map(_defers, tenant.endpoints)):
            return None
        if part is None:
            if self._ports.router.partition_of(customer_id) != record.partition:
                return None
            event = parse_event(record, max_bytes=self._event_max_bytes)
        else:
            event = part.event
        endpoint_ids = part.endpoint_ids if part is not None else None
        if endpoint_ids is None:
            beside = () if part is None else part.beside
            endpoint_ids = tuple(_endpoint_ids(event, tenant, beside))
        if event.expires_at is not None and event.expires_at <= self._ports.clock.now():
            return None
        for endpoint_id in endpoint_ids:
            endpoint = tenant.endpoint(endpoint_id)
            if endpoint is None or not _defers(endpoint):
                return None
        return [(event, (customer_id, endpoint_id)) for endpoint_id in endpoint_ids]

    async def _handle(
        self, event: Event, context: PartitionContext, beside: Beside = _NONE
    ) -> None:
        record = event.record
        if is_broadcast(record):
            await self._broadcast(event, context, beside)
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
            await self.fan_out(event, tenant, context, beside)

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

    async def _broadcast(self, event: Event, context: PartitionContext, beside: Beside) -> None:
        permits = asyncio.Semaphore(self._broadcast_concurrency)

        async def deliver(tenant: Tenant) -> None:
            async with permits:
                await self.fan_out(event, tenant, context, beside)

        await _all_done(
            deliver(tenant)
            for tenant in self._tenants.of_partition(context.partition)
            if tenant.enabled
        )

    def fan_out(
        self, event: Event, tenant: Tenant, context: PartitionContext, beside: Beside = _NONE
    ) -> Coroutine[Any, Any, None]:
        """Deliver to the tenant's subscribed endpoints in parallel, but not to those `beside`.

        Returns once each endpoint accepted the event or its dead letter is written.
        """
        return self._deliver_to_all(
            event, tenant.customer_id, _endpoint_ids(event, tenant, beside), context
        )

    def _deliver_to_all(
        self, event: Event, customer_id: str, endpoint_ids: Sequence[str], context: PartitionContext
    ) -> Coroutine[Any, Any, None]:
        deliveries = [self._deliver_to(event, customer_id, one, context) for one in endpoint_ids]
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
        outcome = NO_ATTEMPTS
        while True:
            self._suspensions.begin(endpoint_ref)
            try:
                outcome = await self._deliverer.deliver(
                    event, customer_id, endpoint_id, context, outcome
                )
            except asyncio.CancelledError:
                if not self._suspensions.was_cut_off():
                    raise
                outcome = _deferred(outcome)
            finally:
                self._suspensions.end(endpoint_ref)
            is_due = self._suspensions.is_due(endpoint_ref, outcome)
            if outcome.accepted:
                break
            if is_due and await self._suspensions.suspend(endpoint_ref, "exhausted", context):
                # This event is the first one of the backlog.
                outcome = _deferred(outcome)
            letter = self._letter(event, outcome, customer_id, endpoint_id)
            if letter.reason == SUSPENDED:
                if await self._suspensions.defer(letter, endpoint_ref, context):
                    break
                # The suspension ended meanwhile.
                continue
            # A worker that was frozen during the attempt may have lost the partition. Then the new
            # owner decides about the event.
            await context.wait_for_ownership()
            # The offset may only move once the dead letter is written, or a crash here loses the
            # event.
            await self._ports.dead_letters.bury(letter)
            break
        self._ports.observer.delivered(event, customer_id, endpoint_id, outcome)

    def _letter(
        self, event: Event, outcome: Outcome, customer_id: str, endpoint_id: str
    ) -> DeadLetter:
        return letter_of(
            event.record,
            outcome,
            event_id=event.id,
            failed_at=self._ports.clock.now(),
            key=customer_id.encode(),
            endpoint_id=endpoint_id,
        )

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


def _endpoint_ids(event: Event, tenant: Tenant, beside: Beside = _NONE) -> list[str]:
    if beside:
        wanted = _endpoint_ids(event, tenant)
        return [one for one in wanted if (tenant.customer_id, one) not in beside]
    if event.only_endpoint is not None:
        # A replay or a test goes to its endpoint, whatever that subscribes to. If the endpoint was
        # removed meanwhile, the event becomes a dead letter.
        return [event.only_endpoint]
    if is_reserved(event.type):
        return [one.id for one in tenant.endpoints if one.enabled]
    return [one.id for one in tenant.endpoints if one.wants(event.type)]


def _own_ordering(endpoint: Endpoint, operators: Ordering) -> EndpointOrdering | None:
    """Return the mode of the endpoint's events; None = the operator's.

    In the mode `partition`, events of a suspended endpoint are deferred beside the sequence, many
    in one write.
    """
    if endpoint.suspension is not None and endpoint.ordering is None and operators == "partition":
        return "endpoint"
    return endpoint.ordering


def _defers(endpoint: Endpoint) -> bool:
    return endpoint.enabled and endpoint.suspension is not None
