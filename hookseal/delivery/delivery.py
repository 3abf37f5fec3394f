"""The retry loop: one event to one endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hookseal.delivery.attempt import Delivery
from hookseal.domain.attempt import Outcome
from hookseal.domain.dead_letter import REASONS, DeadLetter
from hookseal.domain.verdict import Verdict, suspends

if TYPE_CHECKING:
    from hookseal.delivery.attempt import AttemptResult, Attempts
    from hookseal.delivery.limits.backoff_waits import BackoffWaits
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Ports
    from hookseal.delivery.tracing import DeliveryTrace
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record

NO_ATTEMPTS = Outcome(accepted=False, code="")


class Deliverer:
    """Delivers one event to one endpoint."""

    def __init__(self, ports: Ports, attempts: Attempts, backoff: BackoffWaits) -> None:
        self._ports = ports
        self._attempts = attempts
        self._backoff = backoff

    async def deliver(
        self,
        event: Event,
        customer_id: str,
        endpoint_id: str,
        context: PartitionContext,
        so_far: Outcome = NO_ATTEMPTS,
    ) -> Outcome:
        """Attempt until accepted, permanently refused, or out of attempts.

        `so_far` tells the attempts that were made before.

        Raises:
            PartitionStoppedError: The partition stopped before the outcome was decided.
        """
        ports = self._ports
        trace = self._trace(event, customer_id, endpoint_id)
        delivery = Delivery(event, customer_id, endpoint_id, context, trace=trace)
        decided = None
        try:
            while True:
                number = so_far.attempts + 1
                result = await self._attempts.make(delivery, number)
                so_far = _counted(so_far, result)
                decided = _decided(so_far, result)
                if decided is not None:
                    return decided
                delay_s = result.schedule.delay_after(
                    number, draw=ports.clock.draw(), at_least_s=result.judgement.wait_s
                )
                ports.observer.retry_scheduled(event, customer_id, endpoint_id, number, delay_s)
                await self._backoff.wait(delivery.endpoint_ref, context, delay_s, failed=number)
        finally:
            if trace is not None:
                trace.ended(decided)

    async def attempt_deferred(
        self,
        event: Event,
        customer_id: str,
        endpoint_id: str,
        context: PartitionContext,
        number: int,
    ) -> AttemptResult:
        """Make one attempt at a deferred event of a suspended endpoint."""
        trace = self._trace(event, customer_id, endpoint_id)
        delivery = Delivery(event, customer_id, endpoint_id, context, deferred=True, trace=trace)
        outcome = None
        try:
            result = await self._attempts.make(delivery, number)
            verdict, code = result.judgement.verdict, result.judgement.code
            made = 0 if verdict is Verdict.SKIPPED else number
            outcome = Outcome(accepted=verdict is Verdict.ACCEPTED, code=code, attempts=made)
        finally:
            if trace is not None:
                trace.ended(outcome)
        return result

    def _trace(self, event: Event, customer_id: str, endpoint_id: str) -> DeliveryTrace | None:
        tracing = self._ports.tracing
        return None if tracing is None else tracing.delivery(event, customer_id, endpoint_id)


def exhausted(so_far: Outcome, last: AttemptResult) -> Outcome:
    """Return the outcome of a delivery whose attempts are used up."""
    error = f"{so_far.attempts} attempts failed, the last one with {last.judgement.code}."
    by_endpoint = suspends(last.judgement, last.status)
    return replace(so_far, code="attempts_exhausted", error=error, suspends=by_endpoint)


def letter_of(
    record: Record,
    outcome: Outcome,
    *,
    event_id: str,
    failed_at: float,
    key: bytes | None,
    endpoint_id: str | None = None,
) -> DeadLetter:
    """Return the dead letter of a record whose delivery had this outcome."""
    return DeadLetter(
        record=record,
        reason=outcome.code,
        error=outcome.error,
        event_id=event_id,
        failed_at=failed_at,
        key=key,
        endpoint_id=endpoint_id,
        attempts=outcome.attempts,
        status=outcome.status,
        first_attempt_at=outcome.first_attempt_at,
    )


def _counted(so_far: Outcome, result: AttemptResult) -> Outcome:
    judgement = result.judgement
    if judgement.verdict is Verdict.SKIPPED:
        return so_far
    return Outcome(
        accepted=judgement.verdict is Verdict.ACCEPTED,
        code=judgement.code,
        attempts=so_far.attempts + 1,
        status=result.status or so_far.status,
        first_attempt_at=so_far.first_attempt_at or result.started,
    )


def _decided(so_far: Outcome, result: AttemptResult) -> Outcome | None:
    """Return the outcome of the delivery after this attempt; None = retry."""
    judgement = result.judgement
    match judgement.verdict:
        case Verdict.ACCEPTED:
            return so_far
        case Verdict.GONE:
            return replace(so_far, code="endpoint_gone", error=REASONS["endpoint_gone"])
        case Verdict.PERMANENT | Verdict.SKIPPED:
            error = REASONS.get(judgement.code, judgement.code)
            return replace(so_far, code=judgement.code, error=error)
    elapsed_s = result.started - (so_far.first_attempt_at or result.started)
    is_last = result.schedule.is_last(so_far.attempts, elapsed_s)
    return exhausted(so_far, result) if is_last else None
