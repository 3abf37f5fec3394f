"""One event to all endpoints of a tenant that want it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from hookseal.domain.dead_letter import SUSPENDED, DeadLetter
from hookseal.domain.event import is_reserved

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from hookseal.delivery.delivery import Deliverer
    from hookseal.delivery.limits.backoff_waits import EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock, DeadLetters, Observer
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.domain.attempt import Outcome
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.event import Event
    from hookseal.domain.tenant import Tenant


class Fanout:
    """Delivers an event to its endpoints concurrently; what fails is dead-lettered."""

    def __init__(
        self,
        *,
        deliverer: Deliverer,
        dead_letters: DeadLetters,
        suspensions: SuspensionManager,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._deliverer = deliverer
        self._dead_letters = dead_letters
        self._suspensions = suspensions
        self._observer = observer
        self._clock = clock

    def deliver(
        self, event: Event, tenant: Tenant, context: PartitionContext
    ) -> Coroutine[Any, Any, None]:
        """Return once each endpoint accepted the event or its dead letter is stored.

        Raises:
            PartitionStoppedError: The partition stopped first.
        """
        if event.only_endpoint is not None:
            # A replay goes where it failed, a test where it was asked for, whatever the endpoint
            # subscribes to. If the endpoint was removed meanwhile, the event becomes a dead letter.
            endpoint_ids = [event.only_endpoint]
        else:
            endpoint_ids = [one.id for one in tenant.endpoints if _wants(event, one)]
        deliveries = [
            self._deliver_to(event, tenant.customer_id, one, context) for one in endpoint_ids
        ]
        if len(deliveries) == 1:
            # The common case needs no task.
            return deliveries[0]
        if not deliveries:
            self._observer.skipped(event)
        return all_done(deliveries)

    async def _deliver_to(
        self, event: Event, customer_id: str, endpoint_id: str, context: PartitionContext
    ) -> None:
        endpoint_ref = (customer_id, endpoint_id)
        self._suspensions.begin(endpoint_ref)
        try:
            while True:
                outcome = await self._deliverer.deliver(event, customer_id, endpoint_id, context)
                if outcome.accepted:
                    break
                letter = self._letter(event, customer_id, endpoint_id, outcome)
                if await self._dead_letter_or_defer(letter, endpoint_ref, context):
                    break
        finally:
            self._suspensions.end(endpoint_ref)
        self._observer.delivered(event, customer_id, endpoint_id, outcome)
        if self._suspensions.is_due(endpoint_ref, outcome):
            await self._suspensions.suspend(endpoint_ref, "exhausted", context)

    async def _dead_letter_or_defer(
        self, letter: DeadLetter, endpoint_ref: EndpointRef, context: PartitionContext
    ) -> bool:
        """Store the letter; return False if its endpoint is not suspended any more."""
        if letter.reason == SUSPENDED:
            return await self._suspensions.defer(letter, endpoint_ref, context)
        # A worker that was frozen during the attempt may have lost the partition. Then the new
        # owner decides about the event.
        await context.wait_for_ownership()
        # Awaited before the delivery counts as done: the offset may only move once the dead letter
        # is stored, or a crash here loses the event.
        await self._dead_letters.bury(letter)
        return True

    def _letter(
        self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome
    ) -> DeadLetter:
        return DeadLetter(
            record=event.record,
            reason=outcome.code,
            error=outcome.error,
            event_id=event.id,
            failed_at=self._clock.now(),
            key=customer_id.encode(),
            endpoint_id=endpoint_id,
            attempts=outcome.attempts,
            status=outcome.status,
            first_attempt_at=outcome.first_attempt_at,
        )


def _wants(event: Event, endpoint: Endpoint) -> bool:
    if is_reserved(event.type):
        return endpoint.enabled
    return endpoint.wants(event.type)


async def all_done(deliveries: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all of them to their end, then raise the first failure, if any.

    Unlike a task group it cancels none when one fails: an attempt on the wire may well be
    accepted, and cutting it off would only make a repeat of it.
    """
    results = await asyncio.gather(*deliveries, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
