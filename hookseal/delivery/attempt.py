"""One attempt: resolve the target, seal the request, post it, judge the answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from hookseal.delivery.limits.permits import Permit
from hookseal.delivery.limits.rate import Throttle
from hookseal.delivery.local_resources import exhausted_resource
from hookseal.delivery.ports import NotSentError, SealedRequest
from hookseal.delivery.tracing import traceparent_of
from hookseal.domain.attempt import Attempt
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ChangeEndpoint
from hookseal.domain.dead_letter import SUSPENDED
from hookseal.domain.endpoint import EndpointLimits
from hookseal.domain.event import is_broadcast
from hookseal.domain.verdict import Judgement, Verdict, judge
from hookseal.errors import (
    AttemptError,
    BlockedAddressError,
    LocalResourceError,
    RecordRefusedError,
    SealError,
)
from hookseal.seal.keys import load_public_key
from hookseal.seal.request import envelope, seal_request

if TYPE_CHECKING:
    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Answer, Clock, Commands, Observer, Tenants, Transport
    from hookseal.delivery.tracing import AttemptTrace, Trace
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.event import Event
    from hookseal.domain.tenant import PublicKey
    from hookseal.seal.sign import SigningSecrets
    from hookseal.seal.vault import EventVault

_NO_LIMITS = EndpointLimits()
# After a shortage in this process. Short at first: descriptors come back within milliseconds when
# idle connections are closed. Jitter, so that they do not all return together.
_SHORTAGE_BACKOFF = Backoff(base_s=0.1, cap_s=5.0, jitter=0.5)


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """The operator's settings for every delivery.

    Attributes:
        backoff: Retry policy of endpoints that have none of their own.
        attempt_timeout_s: Seconds an attempt may take, connect to last byte.
        retry_after_cap_s: Seconds up to which `Retry-After` is honoured.
    """

    backoff: Backoff
    attempt_timeout_s: float = 15.0
    retry_after_cap_s: float = 60.0


class Delivery(NamedTuple):
    """One event for one endpoint.

    Attributes:
        deferred: The event comes from the backlog of a suspended endpoint: attempt it although
            the endpoint is suspended.
        trace: None = tracing is off.
    """

    event: Event
    customer_id: str
    endpoint_id: str
    context: PartitionContext
    deferred: bool = False
    trace: Trace | None = None

    @property
    def endpoint_ref(self) -> EndpointRef:
        """Customer id and endpoint id."""
        return self.customer_id, self.endpoint_id


class AttemptResult(NamedTuple):
    """The result of one attempt, or the reason why none was made (`Verdict.SKIPPED`).

    Attributes:
        judgement: Verdict, code, and the wait that the receiver asked for.
        schedule: The endpoint's retry policy at that moment.
        started: Unix seconds; 0 = no attempt was made.
        status: HTTP status; None = no response.
    """

    judgement: Judgement
    schedule: Backoff
    started: float = 0.0
    status: int | None = None


class _Target(NamedTuple):
    endpoint: Endpoint
    key: PublicKey
    schedule: Backoff

    @property
    def limits(self) -> EndpointLimits | None:
        return None if self.endpoint.limits == _NO_LIMITS else self.endpoint.limits


class _NoTarget(NamedTuple):
    """There is nothing to attempt. It waits for no rate limit and does not use it up."""

    skip_reason: str
    limits: None = None


class Attempts:
    """Makes single attempts.

    Key, URL, secret and limits are resolved for each attempt, after its last wait. A tenant's
    correction applies to the events that already wait.
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
    ) -> None:
        self._tenants = tenants
        self._transport = transport
        self._secrets = secrets
        self._vault = vault
        self._commands = commands
        self._observer = observer
        self._clock = clock
        self._throttle = Throttle(clock, backoff)
        self._rules = rules

    async def make(self, delivery: Delivery, number: int) -> AttemptResult:
        """Make attempt `number` (from 1) and return its result.

        A request that did not leave this process is no attempt: the partition was revoked, or a
        local resource was short. It is sealed and sent again.

        Raises:
            PartitionStoppedError: The partition stopped before the attempt began.
        """
        target = self._resolve(delivery)
        shortages = 0
        async with self._permit(delivery, target) as permit:
            while True:
                if permit.waited:
                    target = self._resolve(delivery)
                if isinstance(target, _NoTarget):
                    skipped = Judgement(Verdict.SKIPPED, target.skip_reason)
                    return AttemptResult(skipped, self._rules.backoff)
                started = self._clock.now()
                trace = None if delivery.trace is None else delivery.trace.attempt(number)
                try:
                    request = self._seal(delivery, target, started, trace)
                    answer = await self._transport.post(request, delivery.context.may_start)
                except NotSentError:
                    _end(trace, "not_sent")
                    await permit.renew()
                    continue
                except Exception as error:  # noqa: BLE001 - each gets a verdict
                    if (resource := _short_resource(error)) is not None:
                        _end(trace, "resource_exhausted")
                        self._observer.resource_exhausted(resource)
                        shortages += 1
                        await permit.renew(after_s=self._shortage_delay_s(shortages))
                        continue
                    judgement, status = self._judge_error(delivery.event, error), None
                else:
                    judgement, status = self._judge(answer), answer.status
                break
            _end(trace, judgement.code, status)
            result = AttemptResult(judgement, target.schedule, started, status)
            self._report(delivery, number, target, result)
        if judgement.verdict is Verdict.GONE:
            await self._disable(delivery)
        return result

    def _permit(self, delivery: Delivery, target: _Target | _NoTarget) -> Permit:
        limits = None if target.limits is None else lambda: self._resolve(delivery).limits
        return Permit(delivery.endpoint_ref, delivery.context, self._throttle, limits)

    def _resolve(self, delivery: Delivery) -> _Target | _NoTarget:
        """Look up the endpoint and its key as they are now."""
        tenant = self._tenants.get(delivery.customer_id)
        if tenant is None or not tenant.enabled:
            return _NoTarget("unknown_tenant" if tenant is None else "tenant_disabled")
        endpoint = tenant.endpoint(delivery.endpoint_id)
        if endpoint is None:
            return _NoTarget("endpoint_removed")
        if not endpoint.enabled:
            return _NoTarget("endpoint_disabled")
        if endpoint.suspension is not None and not delivery.deferred:
            return _NoTarget(SUSPENDED)
        key = delivery.event.seal_to or tenant.active_key
        if key is None:
            return _NoTarget("no_public_key")
        schedule = self._rules.backoff
        if endpoint.retry_delays_s is not None:
            schedule = replace(schedule, delays_s=endpoint.retry_delays_s)
        return _Target(endpoint, key, schedule)

    def _seal(
        self, delivery: Delivery, target: _Target, now: float, trace: AttemptTrace | None
    ) -> SealedRequest:
        event, customer_id, endpoint = delivery.event, delivery.customer_id, target.endpoint
        began = perf_counter()
        headers, body = seal_request(
            plaintext=envelope(
                event_id=event.id,
                event_type=event.type,
                timestamp=event.timestamp,
                customer_id=customer_id,
                endpoint_id=endpoint.id,
                data=self._data_of(event),
            ),
            event_id=event.id,
            timestamp=int(now),
            key=load_public_key(target.key.jwk_json()),
            secrets=self._secrets.in_force(customer_id, endpoint.id, endpoint.secret_versions(now)),
            headers=endpoint.headers,
            traceparent=traceparent_of(event) if trace is None else trace.traceparent,
        )
        took_s = perf_counter() - began
        self._observer.sealed(took_s)
        if trace is not None:
            trace.sealed(took_s)
        timeout_s = self._rules.attempt_timeout_s
        if endpoint.limits.timeout_s is not None:
            timeout_s = min(timeout_s, endpoint.limits.timeout_s)
        return SealedRequest(endpoint.url, headers, body, timeout_s)

    def _data_of(self, event: Event) -> bytes:
        if event.sealed is None:
            return event.data
        text, event_id = event.sealed
        # A broadcast was sealed for no tenant in particular; replayed, it is a tenant's.
        if not is_broadcast(event.record):
            with suppress(SealError):
                return self._vault.open(text, event.customer_id, event_id, event.type)
        return self._vault.open(text, "", event_id, event.type)

    def _judge(self, answer: Answer) -> Judgement:
        cap_s = self._rules.retry_after_cap_s
        return judge(answer.status, answer.retry_after, now=self._clock.now(), cap_s=cap_s)

    def _judge_error(self, event: Event, error: Exception) -> Judgement:
        if isinstance(error, SealError | BlockedAddressError):
            return Judgement(Verdict.PERMANENT, error.code)
        if isinstance(error, AttemptError):
            return Judgement(Verdict.RETRY, error.code)
        # A bug of ours must neither lose the event nor stop its partition: it counts as a failed
        # attempt, and the log asks the operator to act.
        self._observer.crashed(event.id, error)
        return Judgement(Verdict.RETRY, "internal_error")

    def _shortage_delay_s(self, shortages: int) -> float:
        return _SHORTAGE_BACKOFF.delay_after(shortages, draw=self._clock.draw())

    def _report(
        self, delivery: Delivery, number: int, target: _Target, result: AttemptResult
    ) -> None:
        self._observer.attempted(
            delivery.event,
            delivery.customer_id,
            Attempt(
                endpoint_id=delivery.endpoint_id,
                number=number,
                of=result.schedule.attempts,
                code=result.judgement.code,
                status=result.status,
                duration_s=round(self._clock.now() - result.started, 4),
                kid=target.key.kid,
            ),
        )

    async def _disable(self, delivery: Delivery) -> None:
        # Where Kafka refuses the command the endpoint stays enabled. The next event gets a 410
        # as well, and the command is sent again.
        with suppress(RecordRefusedError):
            await self._commands.submit(
                ChangeEndpoint(
                    customer_id=delivery.customer_id,
                    id=f"cmd_{uuid4().hex}",
                    at=self._clock.now(),
                    endpoint_id=delivery.endpoint_id,
                    enabled=False,
                    disabled_reason="gone",
                )
            )


def _short_resource(error: Exception) -> str | None:
    if isinstance(error, LocalResourceError):
        return error.resource
    return exhausted_resource(error)


def _end(trace: AttemptTrace | None, code: str, status: int | None = None) -> None:
    if trace is not None:
        trace.ended(code, status)
