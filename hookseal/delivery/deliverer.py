"""One event to one endpoint: seal, attempt, judge, back off, until it is decided."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import msgspec

from hookseal.delivery.limits.rate import Throttle
from hookseal.delivery.local_resources import exhausted_resource
from hookseal.delivery.ports import NotSentError, SealedRequest
from hookseal.delivery.tracing import NoTracing
from hookseal.domain.attempt import Attempt, Outcome
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ChangeEndpoint
from hookseal.domain.dead_letter import REASONS, SUSPENDED
from hookseal.domain.event import is_broadcast
from hookseal.domain.limits import EndpointLimits
from hookseal.domain.verdict import Judgement, Verdict, judge
from hookseal.errors import (
    AttemptError,
    BlockedAddressError,
    LocalResourceError,
    RecordRefusedError,
    SealError,
)
from hookseal.seal.envelope import envelope
from hookseal.seal.keys import load_public_key
from hookseal.seal.request import seal_request

if TYPE_CHECKING:
    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock, Commands, Observer, Tenants, Transport
    from hookseal.delivery.tracing import AttemptTrace, Trace, Tracing
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.event import Event
    from hookseal.domain.tenant import PublicKey, Tenant
    from hookseal.seal.event_vault import EventVault
    from hookseal.seal.sign import SigningSecrets

__all__ = ["AttemptResult", "Deliverer", "DeliveryRules", "exhausted"]


_NO_LIMITS = EndpointLimits()
# After a shortage in this process. Short at first: descriptors come back within milliseconds when
# idle connections are closed. Jitter, so that all who failed together do not return together.
_SHORTAGE_BACKOFF = Backoff(base_s=0.1, cap_s=5.0, jitter=0.5)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What the operator decides for every delivery.

    Attributes:
        backoff: The schedule of endpoints without one of their own.
        attempt_timeout_s: Seconds an attempt may take, connect to last byte.
        retry_after_cap_s: Seconds up to which `Retry-After` is honoured.
    """

    backoff: Backoff
    attempt_timeout_s: float = 15.0
    retry_after_cap_s: float = 60.0


class _Target(NamedTuple):
    customer_id: str
    endpoint: Endpoint
    key: PublicKey
    schedule: Backoff


class _Delivery(NamedTuple):
    event: Event
    customer_id: str
    endpoint_id: str
    context: PartitionContext
    trace: Trace

    @property
    def endpoint_ref(self) -> EndpointRef:
        return self.customer_id, self.endpoint_id


class AttemptResult(NamedTuple):
    """What came of one attempt.

    Attributes:
        judgement: The verdict.
        status: HTTP status; None = no answer came.
        started: Unix seconds.
        schedule: The endpoint's, as it was at that moment.
    """

    judgement: Judgement
    status: int | None
    started: float
    schedule: Backoff


def exhausted(so_far: Outcome, last: Judgement) -> Outcome:
    """Return the outcome of a delivery whose attempts are used up."""
    error = f"{so_far.attempts} attempts failed, the last one with {last.code}."
    return msgspec.structs.replace(so_far, code="attempts_exhausted", error=error)


def _given_up(so_far: Outcome, code: str) -> Outcome:
    return msgspec.structs.replace(so_far, code=code, error=REASONS.get(code, code))


def _outcome_of(result: AttemptResult | str | None, number: int) -> Outcome | None:
    """Return what one attempt at an event that was set aside came to."""
    if result is None or isinstance(result, str):
        return None if result is None else Outcome(accepted=False, code=result)
    judgement = result.judgement
    return Outcome(
        accepted=judgement.verdict is Verdict.ACCEPTED, code=judgement.code, attempts=number
    )


def _skip_reason(
    tenant: Tenant, endpoint: Endpoint, key: PublicKey | None, *, deferred: bool
) -> str | None:
    if not tenant.enabled:
        return "tenant_disabled"
    if not endpoint.enabled:
        return "endpoint_disabled"
    if endpoint.suspension is not None and not deferred:
        return SUSPENDED
    return "no_public_key" if key is None else None


class Deliverer:
    """Delivers one event to one endpoint.

    Key, URL, secret and whether the endpoint is wanted at all are looked up again for
    each attempt, so that what a tenant mends takes effect on what waits.
    """

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
        self._tenants = tenants
        self._transport = transport
        self._secrets = secrets
        self._vault = vault
        self._commands = commands
        self._observer = observer
        self._clock = clock
        self._backoff = backoff
        self._throttle = Throttle(clock, backoff)
        self._rules = rules
        self._tracing: Tracing = tracing or NoTracing()

    async def deliver(
        self, event: Event, customer_id: str, endpoint_id: str, context: PartitionContext
    ) -> Outcome:
        """Deliver, and return the outcome once it is decided.

        Raises:
            PartitionStoppedError: The partition stopped before it was.
        """
        trace = self._tracing.delivery(event, customer_id, endpoint_id)
        outcome = None
        try:
            outcome = await self._deliver(
                _Delivery(event, customer_id, endpoint_id, context, trace)
            )
        finally:
            trace.ended(outcome)
        return outcome

    async def _deliver(self, delivery: _Delivery) -> Outcome:
        so_far = Outcome(accepted=False, code="")
        while True:
            number = so_far.attempts + 1
            result = await self._try(delivery, number)
            if isinstance(result, str):
                return _given_up(so_far, result)
            judgement = result.judgement
            so_far = Outcome(
                accepted=judgement.verdict is Verdict.ACCEPTED,
                code=judgement.code,
                attempts=number,
                status=result.status or so_far.status,
                first_attempt_at=so_far.first_attempt_at or result.started,
            )
            if so_far.accepted:
                return so_far
            if judgement.verdict is Verdict.GONE:
                return _given_up(so_far, "endpoint_gone")
            if judgement.verdict is Verdict.PERMANENT:
                return _given_up(so_far, judgement.code)
            if number >= result.schedule.attempts:
                return exhausted(so_far, judgement)
            await self._backoff.wait(
                delivery.endpoint_ref,
                delivery.context,
                result.schedule.delay_after(
                    number, draw=self._clock.draw(), at_least_s=judgement.wait_s
                ),
                failed=number,
            )

    async def try_deferred(
        self,
        event: Event,
        customer_id: str,
        endpoint_id: str,
        context: PartitionContext,
        number: int,
    ) -> AttemptResult | str:
        """Make one attempt at an event that was set aside.

        Returns what came of it, or the reason why none can be made as things stand.

        Raises:
            PartitionStoppedError: The partition stopped before that.
        """
        trace = self._tracing.delivery(event, customer_id, endpoint_id)
        result = None
        try:
            delivery = _Delivery(event, customer_id, endpoint_id, context, trace)
            result = await self._try(delivery, number, deferred=True)
        finally:
            trace.ended(_outcome_of(result, number))
        return result

    async def _try(
        self, delivery: _Delivery, number: int, *, deferred: bool = False
    ) -> AttemptResult | str:
        if self._limits_of(delivery, deferred=deferred) is None:
            return await self._try_now(delivery, number, deferred=deferred)

        def limits() -> EndpointLimits | None:
            return self._limits_of(delivery, deferred=deferred)

        await self._throttle.admitted(delivery.endpoint_ref, limits, delivery.context)
        try:
            return await self._try_now(delivery, number, deferred=deferred)
        finally:
            self._throttle.ended(delivery.endpoint_ref)

    async def _try_now(
        self, delivery: _Delivery, number: int, *, deferred: bool
    ) -> AttemptResult | str:
        shortages = 0
        while True:
            try:
                return await self._try_once(delivery, number, deferred=deferred)
            except NotSentError:
                # The gate closed while it was sealed or dialled for: wait with the others.
                continue
            except LocalResourceError as error:
                # Not an attempt: the receiver has no part in it.
                self._observer.resource_exhausted(error.resource)
            shortages += 1
            await delivery.context.backoff(
                _SHORTAGE_BACKOFF.delay_after(shortages, draw=self._clock.draw())
            )

    async def _try_once(
        self, delivery: _Delivery, number: int, *, deferred: bool
    ) -> AttemptResult | str:
        event, customer_id, endpoint_id, context, _ = delivery
        await context.begin_attempt(customer_id)
        try:
            target = self._target(event, customer_id, endpoint_id, deferred=deferred)
            if isinstance(target, str):
                return target
            started = self._clock.now()
            judgement, status = await self._attempt(delivery, target, number, started)
        finally:
            context.end_attempt(customer_id)
        if judgement.verdict is Verdict.GONE:
            await self._disable(target)
        return AttemptResult(judgement, status, started, target.schedule)

    def _limits_of(self, delivery: _Delivery, *, deferred: bool) -> EndpointLimits | None:
        """Return what holds attempts back as things stand now; None = nothing, or there is none."""
        tenant = self._tenants.get(delivery.customer_id)
        endpoint = None if tenant is None else tenant.endpoint(delivery.endpoint_id)
        if tenant is None or endpoint is None or endpoint.limits == _NO_LIMITS:
            return None
        # What will not be attempted in any case does not wait for it, nor use up the rate.
        key = delivery.event.seal_to or tenant.active_key
        skip_reason = _skip_reason(tenant, endpoint, key, deferred=deferred)
        return endpoint.limits if skip_reason is None else None

    def _target(
        self, event: Event, customer_id: str, endpoint_id: str, *, deferred: bool
    ) -> _Target | str:
        """Return where to deliver to as things stand now, or why it cannot be done."""
        tenant = self._tenants.get(customer_id)
        if tenant is None:
            return "unknown_tenant"
        endpoint = tenant.endpoint(endpoint_id)
        if endpoint is None:
            return "endpoint_removed" if tenant.enabled else "tenant_disabled"
        key = event.seal_to or tenant.active_key
        if reason := _skip_reason(tenant, endpoint, key, deferred=deferred):
            return reason
        assert key is not None  # noqa: S101 - that would be a reason
        schedule = self._rules.backoff
        if endpoint.retry_delays_s is not None:
            schedule = replace(schedule, delays_s=endpoint.retry_delays_s)
        return _Target(customer_id, endpoint, key, schedule)

    async def _attempt(
        self, delivery: _Delivery, target: _Target, number: int, started: float
    ) -> tuple[Judgement, int | None]:
        event, context = delivery.event, delivery.context
        status: int | None = None
        span = delivery.trace.attempt(number)
        try:
            sealed = self._seal(event, target, started, span)
            answer = await self._transport.post(sealed, context.may_start)
        except NotSentError:
            span.ended("not_sent", None)
            raise
        except LocalResourceError as error:
            span.ended(error.code, None)
            raise
        except (SealError, BlockedAddressError) as error:
            judgement = Judgement(Verdict.PERMANENT, error.code)
        except AttemptError as error:
            judgement = Judgement(Verdict.RETRY, error.code)
        except Exception as error:
            if resource := exhausted_resource(error):
                span.ended("resource_exhausted", None)
                raise LocalResourceError(resource) from error
            # A fault of ours must neither lose the event nor stop its partition: it
            # counts as a failed attempt, and whoever reads the log must act.
            self._observer.crashed(event.id, error)
            judgement = Judgement(Verdict.RETRY, "internal_error")
        else:
            status = answer.status
            judgement = judge(
                status,
                answer.retry_after,
                now=self._clock.now(),
                cap_s=self._rules.retry_after_cap_s,
            )
        span.ended(judgement.code, status)
        self._observer.attempted(
            event,
            target.customer_id,
            Attempt(
                endpoint_id=target.endpoint.id,
                number=number,
                of=target.schedule.attempts,
                code=judgement.code,
                status=status,
                duration_s=round(self._clock.now() - started, 4),
                kid=target.key.kid,
            ),
        )
        return judgement, status

    def _seal(self, event: Event, target: _Target, now: float, span: AttemptTrace) -> SealedRequest:
        endpoint = target.endpoint
        began = perf_counter()
        headers, body = seal_request(
            plaintext=envelope(
                event_id=event.id,
                event_type=event.type,
                timestamp=event.timestamp,
                customer_id=target.customer_id,
                endpoint_id=endpoint.id,
                data=self._data_of(event),
            ),
            event_id=event.id,
            timestamp=int(now),
            key=load_public_key(target.key.jwk_json()),
            secrets=self._secrets.in_force(
                target.customer_id, endpoint.id, endpoint.secret_versions(now)
            ),
            headers=endpoint.headers,
            traceparent=span.traceparent,
        )
        took_s = perf_counter() - began
        self._observer.sealed(took_s)
        span.sealed(took_s)
        timeout_s = self._rules.attempt_timeout_s
        if endpoint.limits.timeout_s is not None:
            timeout_s = min(timeout_s, endpoint.limits.timeout_s)
        return SealedRequest(endpoint.url, headers, body, timeout_s)

    def _data_of(self, event: Event) -> bytes:
        if event.sealed is None:
            return event.data
        text, event_id = event.sealed
        # A broadcast was sealed for nobody in particular; replayed, it is a tenant's.
        if not is_broadcast(event.record):
            with suppress(SealError):
                return self._vault.open(text, event.customer_id, event_id, event.type)
        return self._vault.open(text, "", event_id, event.type)

    async def _disable(self, target: _Target) -> None:
        # Where Kafka refuses the command the endpoint stays enabled. The next event gets a 410
        # as well, and the command is sent again.
        with suppress(RecordRefusedError):
            await self._commands.submit(
                ChangeEndpoint(
                    customer_id=target.customer_id,
                    id=f"cmd_{uuid4().hex}",
                    at=self._clock.now(),
                    endpoint_id=target.endpoint.id,
                    enabled=False,
                    disabled_reason="gone",
                )
            )
