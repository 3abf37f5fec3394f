"""The retry loop: one event to one endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from hookseal.delivery.attempt import Attempts, Delivery
from hookseal.domain.attempt import Outcome
from hookseal.domain.dead_letter import REASONS
from hookseal.domain.verdict import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from hookseal.delivery.attempt import AttemptResult, DeliveryRules
    from hookseal.delivery.limits.backoff_waits import BackoffWaits
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock, Commands, Observer, Tenants, Transport
    from hookseal.delivery.tracing import Trace, Tracing
    from hookseal.domain.event import Event
    from hookseal.seal.sign import SigningSecrets
    from hookseal.seal.vault import EventVault


class Deliverer:
    """Delivers one event to one endpoint."""

    def __init__(
        self,
        *,
        tenants: Tenants,
        transport: Transport,
        secrets: SigningSecrets,
        vault: EventVault,
        commands: Commands,
        observer: Observer,
        clock: Clock,
        backoff: BackoffWaits,
        rules: DeliveryRules,
        tracing: Tracing | None = None,
    ) -> None:
        self._clock = clock
        self._backoff = backoff
        self._tracing = tracing
        self._attempts = Attempts(
            tenants=tenants,
            transport=transport,
            secrets=secrets,
            vault=vault,
            commands=commands,
            observer=observer,
            clock=clock,
            backoff=backoff,
            rules=rules,
        )

    def deliver(
        self, event: Event, customer_id: str, endpoint_id: str, context: PartitionContext
    ) -> Coroutine[Any, Any, Outcome]:
        """Deliver, and return the outcome once it is decided.

        Raises:
            PartitionStoppedError: The partition stopped before the outcome was decided.
        """
        delivery = Delivery(event, customer_id, endpoint_id, context)
        if self._tracing is None:
            return self._deliver(delivery)
        return self._deliver_traced(
            delivery, self._tracing.delivery(event, customer_id, endpoint_id)
        )

    async def attempt_deferred(
        self,
        event: Event,
        customer_id: str,
        endpoint_id: str,
        context: PartitionContext,
        number: int,
    ) -> AttemptResult:
        """Make one attempt at a deferred event of a suspended endpoint.

        Raises:
            PartitionStoppedError: The partition stopped before the attempt began.
        """
        delivery = Delivery(event, customer_id, endpoint_id, context, deferred=True)
        if self._tracing is None:
            return await self._attempts.make(delivery, number)
        trace = self._tracing.delivery(event, customer_id, endpoint_id)
        outcome = None
        try:
            result = await self._attempts.make(delivery._replace(trace=trace), number)
            outcome = _outcome_of(result, number)
        finally:
            trace.ended(outcome)
        return result

    async def _deliver(self, delivery: Delivery) -> Outcome:
        """Attempt until accepted, permanently refused, or out of attempts."""
        so_far = Outcome(accepted=False, code="")
        while True:
            number = so_far.attempts + 1
            result = await self._attempts.make(delivery, number)
            judgement = result.judgement
            if judgement.verdict is Verdict.SKIPPED:
                return _given_up(so_far, judgement.code)
            so_far = Outcome(
                accepted=judgement.verdict is Verdict.ACCEPTED,
                code=judgement.code,
                attempts=number,
                status=result.status or so_far.status,
                first_attempt_at=so_far.first_attempt_at or result.started,
            )
            match judgement.verdict:
                case Verdict.ACCEPTED:
                    return so_far
                case Verdict.GONE:
                    return _given_up(so_far, "endpoint_gone")
                case Verdict.PERMANENT:
                    return _given_up(so_far, judgement.code)
            if number >= result.schedule.attempts:
                return exhausted(so_far, judgement)
            delay_s = result.schedule.delay_after(
                number, draw=self._clock.draw(), at_least_s=judgement.wait_s
            )
            await self._backoff.wait(
                delivery.endpoint_ref, delivery.context, delay_s, failed=number
            )

    async def _deliver_traced(self, delivery: Delivery, trace: Trace) -> Outcome:
        outcome = None
        try:
            outcome = await self._deliver(delivery._replace(trace=trace))
        finally:
            trace.ended(outcome)
        return outcome


def exhausted(so_far: Outcome, last: Judgement) -> Outcome:
    """Return the outcome of a delivery whose attempts are used up."""
    error = f"{so_far.attempts} attempts failed, the last one with {last.code}."
    return replace(so_far, code="attempts_exhausted", error=error)


def _given_up(so_far: Outcome, code: str) -> Outcome:
    return replace(so_far, code=code, error=REASONS.get(code, code))


def _outcome_of(result: AttemptResult, number: int) -> Outcome:
    """Return the outcome that the trace of one attempt at a deferred event shows."""
    verdict, code = result.judgement.verdict, result.judgement.code
    made = 0 if verdict is Verdict.SKIPPED else number
    return Outcome(accepted=verdict is Verdict.ACCEPTED, code=code, attempts=made)
