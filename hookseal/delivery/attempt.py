"""One attempt: resolve the target, seal the request, post it, judge the answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import uuid4

from hookseal.delivery.limits.concurrency import Permit
from hookseal.delivery.limits.rate import Throttle
from hookseal.delivery.local_resources import exhausted_resource
from hookseal.delivery.ports import TRACEPARENT, NotSentError, SealedRequest
from hookseal.domain.attempt import Attempt
from hookseal.domain.backoff import Backoff
from hookseal.domain.command import ChangeEndpoint
from hookseal.domain.dead_letter import EXPIRED, SUSPENDED
from hookseal.domain.endpoint import EndpointLimits
from hookseal.domain.event import is_broadcast
from hookseal.domain.record import last_header
from hookseal.domain.verdict import Judgement, Verdict, judge
from hookseal.errors import (
    AttemptError,
    BlockedAddressError,
    RecordRefusedError,
    SealError,
)
from hookseal.seal.keys import load_public_key
from hookseal.seal.request import envelope, seal_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.delivery.limits.backoff_waits import BackoffWaits, EndpointRef
    from hookseal.delivery.ordering.partition import PartitionContext
    from hookseal.delivery.ports import Clock, Ports
    from hookseal.delivery.tracing import AttemptTrace, DeliveryTrace
    from hookseal.domain.endpoint import Endpoint
    from hookseal.domain.event import Event
    from hookseal.domain.tenant import PublicKey
    from hookseal.seal.sign import SigningSecrets
    from hookseal.seal.vault import EventVault

_Command = TypeVar("_Command")
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
        endpoint_retry_max_s: Seconds that an endpoint's own delays may take in all.
    """

    backoff: Backoff
    attempt_timeout_s: float = 15.0
    retry_after_cap_s: float = 60.0
    endpoint_retry_max_s: float = 300.0


class Delivery(NamedTuple):
    """One event for one endpoint.

    Attributes:
        deferred: The event is from a backlog: attempt it although the endpoint is suspended.
        trace: None = tracing is off.
    """

    event: Event
    customer_id: str
    endpoint_id: str
    context: PartitionContext
    deferred: bool = False
    trace: DeliveryTrace | None = None

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


class Attempts:
    """Makes single attempts.

    Key, URL, secret and limits are resolved for each attempt, after its last wait. So a tenant's
    correction applies to events that already wait.
    """

    def __init__(
        self,
        ports: Ports,
        backoff: BackoffWaits,
        *,
        secrets: SigningSecrets,
        vault: EventVault,
        rules: DeliveryRules,
    ) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._observer = ports.observer
        self._secrets = secrets
        self._vault = vault
        self._throttle = Throttle(ports.clock, backoff)
        self._rules = rules

    async def make(self, delivery: Delivery, number: int) -> AttemptResult:
        """Make attempt `number` (from 1) and return its result.

        A request that did not leave this process is no attempt: the partition was revoked, or a
        local resource was short. It is encrypted and sent again.
        """
        target = self._resolve(delivery)
        # A skipped attempt neither waits for the rate limit nor uses it up.
        limits = None if _limits(target) is None else lambda: _limits(self._resolve(delivery))
        permit = Permit(delivery.endpoint_ref, delivery.context, self._throttle, limits)
        shortages = 0
        async with permit:
            while True:
                if permit.waited:
                    target = self._resolve(delivery)
                if isinstance(target, str):
                    return AttemptResult(Judgement(Verdict.SKIPPED, target), self._rules.backoff)
                started = self._clock.now()
                trace = None if delivery.trace is None else delivery.trace.attempt(number)
                try:
                    request = self._seal(delivery, target, started, trace)
                    answer = await self._ports.transport.post(request, delivery.context.may_start)
                except NotSentError:
                    _end(trace, "not_sent")
                    await permit.renew()
                    continue
                except Exception as error:  # noqa: BLE001 - each gets a verdict
                    if (resource := exhausted_resource(error)) is not None:
                        _end(trace, "resource_exhausted")
                        self._observer.resource_exhausted(resource)
                        shortages += 1
                        draw = self._clock.draw()
                        after_s = _SHORTAGE_BACKOFF.delay_after(shortages, draw=draw)
                        await permit.renew(after_s=after_s)
                        continue
                    judgement, status = self._judge_error(delivery.event, error), None
                else:
                    status, now = answer.status, self._clock.now()
                    cap_s = self._rules.retry_after_cap_s
                    judgement = judge(status, answer.retry_after, now=now, cap_s=cap_s)
                break
            _end(trace, judgement.code, status)
            result = AttemptResult(judgement, target.schedule, started, status)
            self._observer.attempted(
                delivery.event,
                delivery.customer_id,
                Attempt(
                    endpoint_id=delivery.endpoint_id,
                    number=number,
                    of=target.schedule.attempts,
                    code=judgement.code,
                    status=status,
                    duration_s=round(self._clock.now() - started, 4),
                    kid=target.key.kid,
                ),
            )
        if judgement.verdict is Verdict.GONE:
            await self._disable(delivery.endpoint_ref)
        return result

    def _resolve(self, delivery: Delivery) -> _Target | str:
        """Return the endpoint and its key as they are now, or the reason to skip the attempt."""
        tenant = self._ports.tenants.get(delivery.customer_id)
        if tenant is None or not tenant.enabled:
            return "unknown_tenant" if tenant is None else "tenant_disabled"
        endpoint = tenant.endpoint(delivery.endpoint_id)
        if endpoint is None:
            return "endpoint_removed"
        if (reason := self._skip_reason(delivery, endpoint)) is not None:
            return reason
        key = delivery.event.seal_to or tenant.active_key
        if key is None:
            return "no_public_key"
        schedule = self._rules.backoff
        if endpoint.retry_delays_s is not None:
            # The document may be older than the operator's limit.
            total_s = self._rules.endpoint_retry_max_s
            schedule = schedule.with_delays(endpoint.retry_delays_s, total_s=total_s)
        return _Target(endpoint, key, schedule)

    def _skip_reason(self, delivery: Delivery, endpoint: Endpoint) -> str | None:
        if not endpoint.enabled:
            return "endpoint_disabled"
        expires_at = delivery.event.expires_at
        if expires_at is not None and expires_at <= self._clock.now():
            return EXPIRED
        is_paused = endpoint.paused_at is not None
        if delivery.deferred:
            return "endpoint_paused" if is_paused else None
        return SUSPENDED if is_paused or endpoint.suspension is not None else None

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
        # A broadcast was encrypted for no customer id. Its replay has a tenant's customer id.
        if not is_broadcast(event.record):
            with suppress(SealError):
                return self._vault.open(text, event.customer_id, event_id, event.type)
        return self._vault.open(text, "", event_id, event.type)

    def _judge_error(self, event: Event, error: Exception) -> Judgement:
        if isinstance(error, SealError | BlockedAddressError):
            return Judgement(Verdict.PERMANENT, error.code)
        if isinstance(error, AttemptError):
            return Judgement(Verdict.RETRY, error.code)
        # A bug of ours must neither lose the event nor block its partition: it counts as a failed
        # attempt, and the log asks the operator to act.
        self._observer.crashed(event.id, error)
        return Judgement(Verdict.RETRY, "internal_error")

    async def _disable(self, endpoint_ref: EndpointRef) -> None:
        command = endpoint_command(
            ChangeEndpoint, endpoint_ref, self._clock, enabled=False, disabled_reason="gone"
        )
        # If Kafka refuses the command, the endpoint stays enabled. The next event gets a 410 as
        # well, and the command is sent again.
        with suppress(RecordRefusedError):
            await self._ports.commands.submit(command)


def endpoint_command(
    kind: Callable[..., _Command], endpoint_ref: EndpointRef, clock: Clock, **fields: Any
) -> _Command:
    """Return a new command about this endpoint."""
    customer_id, endpoint_id = endpoint_ref
    return kind(
        customer_id=customer_id,
        id=f"cmd_{uuid4().hex}",
        at=clock.now(),
        endpoint_id=endpoint_id,
        **fields,
    )


def _limits(target: _Target | str) -> EndpointLimits | None:
    if isinstance(target, str) or target.endpoint.limits == _NO_LIMITS:
        return None
    return target.endpoint.limits


def traceparent_of(event: Event) -> str | None:
    """Return the unchecked trace context that the producer set, or None."""
    value = last_header(event.record.headers, TRACEPARENT)
    return None if value is None else value.decode("ascii", "replace")


def _end(trace: AttemptTrace | None, code: str, status: int | None = None) -> None:
    if trace is not None:
        trace.ended(code, status)
