"""Log lines and metrics of the engine.

One line per attempt (`delivery.attempted`). The fields are ids, codes and times: no payload, no
secret, no header, no URL query.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import structlog

from hookseal.domain.dead_letter import SUSPENDED, category_of
from hookseal.retry import LogThrottle
from hookseal.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.domain.attempt import Attempt, Outcome
    from hookseal.domain.dead_letter import DeadLetter
    from hookseal.domain.endpoint import Why
    from hookseal.domain.event import Event
    from hookseal.domain.record import Record

_SHORTAGE_HINTS = {
    "descriptors": "Raise the limit of open files (ulimit -n, LimitNOFILE), or add workers.",
    "memory": "Raise the memory limit of the process, or add workers.",
    "ports": "All local ports are in use; widen net.ipv4.ip_local_port_range, or add hosts.",
    "threads": "Raise the limit of threads (ulimit -u, pids.max), or add workers.",
    "resolver": "The system's name resolution failed; check the resolver of this host.",
    "connections": "All connections of the pool are in use; raise the limit of open files, or add "
    "workers.",
    "connections_per_host": "100 requests to one host wait for their answers; the host is slow, or "
    "needs more workers.",
}


STORM_PER_MINUTE = 60
_MINUTE_S = 60.0
# Tenants counted at a time. Beyond it the tenant that was counted first is dropped.
_STORM_TENANTS_MAX = 10_000


class StormWatch:
    """Counts dead letters per tenant and minute, in bounded memory."""

    def __init__(
        self, per_minute: int = STORM_PER_MINUTE, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A storm is `per_minute` dead letters of one tenant within a minute."""
        self.per_minute = per_minute
        self._clock = clock
        self._counts: dict[str, tuple[float, int]] = {}

    def note(self, customer_id: str) -> bool:
        """Count a dead letter; return whether a storm begins or enters a new minute."""
        now = self._clock()
        since, count = self._counts.get(customer_id, (now, 0))
        if now - since >= _MINUTE_S:
            since, count = now, 0
        if count == 0:
            # The newest is last, so that the oldest one is dropped.
            self._counts.pop(customer_id, None)
            if len(self._counts) >= _STORM_TENANTS_MAX:
                del self._counts[next(iter(self._counts))]
        self._counts[customer_id] = (since, count + 1)
        return count + 1 == self.per_minute

    def count(self) -> float:
        """Return the number of tenants in a storm now."""
        now = self._clock()
        return float(
            sum(
                count >= self.per_minute and now - since < _MINUTE_S
                for since, count in tuple(self._counts.values())
            )
        )


class AttemptLog(Protocol):
    """Stores attempts; must neither raise nor wait."""

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None: ...


class Observer:
    """Hears of the engine's events, for logs and metrics. No method raises or waits."""

    def __init__(
        self,
        *,
        attempts: AttemptLog | None = None,
        storm_per_minute: int = STORM_PER_MINUTE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        for resource in _SHORTAGE_HINTS:
            # The series begin at 0: an alert on their increase would miss the first failure.
            metrics.RESOURCE_EXHAUSTED.labels(resource)
        self._shortages = LogThrottle()
        self._attempts = attempts
        self._storms = StormWatch(storm_per_minute)
        metrics.TENANTS_IN_STORM.set_function(self._storms.count)
        self._log = structlog.stdlib.get_logger("hookseal")
        # Looked up once: a labelled child costs a lock and a dictionary each time.
        self._accepted = metrics.ATTEMPTS.labels("accepted")
        self._delivered = metrics.DELIVERIES.labels("accepted")

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        """One HTTP request ended."""
        if attempt.code == "accepted":
            self._accepted.inc()
        else:
            metrics.ATTEMPTS.labels(attempt.code).inc()
        metrics.ATTEMPT_SECONDS.observe(attempt.duration_s)
        self._log.info(
            "delivery.attempted",
            customer_id=customer_id,
            event_id=event.id,
            endpoint_id=attempt.endpoint_id,
            attempt=attempt.number,
            attempt_max=attempt.of,
            code=attempt.code,
            status=attempt.status,
            duration_s=attempt.duration_s,
            kid=attempt.kid,
            partition=event.record.partition,
            offset=event.record.offset,
        )
        if self._attempts is not None:
            self._attempts.attempted(event, customer_id, attempt)

    def sealed(self, seconds: float) -> None:
        metrics.SEAL_SECONDS.observe(seconds)

    def delivered(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        if outcome.accepted:
            self._delivered.inc()
            metrics.DELIVERY_SECONDS.observe(time.time() - event.record.timestamp_ms / 1000)
            return
        fields = {
            "customer_id": customer_id,
            "event_id": event.id,
            "endpoint_id": endpoint_id,
            "partition": event.record.partition,
            "offset": event.record.offset,
        }
        if outcome.code == SUSPENDED:
            metrics.DELIVERIES.labels("set_aside").inc()
            self._log.info("delivery.deferred", **fields)
        else:
            metrics.DELIVERIES.labels("dead_lettered").inc()
            self._log.warning(
                "delivery.dead_lettered", attempts=outcome.attempts, code=outcome.code, **fields
            )

    def retry_scheduled(
        self, event: Event, customer_id: str, endpoint_id: str, attempt: int, delay_s: float
    ) -> None:
        self._log.info(
            "delivery.retry_scheduled",
            customer_id=customer_id,
            event_id=event.id,
            endpoint_id=endpoint_id,
            attempt=attempt,
            delay_s=round(delay_s, 3),
        )

    def waiting(self, partition: int) -> None:
        metrics.IN_BACKOFF.labels(str(partition)).inc()

    def resumed(self, partition: int) -> None:
        metrics.IN_BACKOFF.labels(str(partition)).dec()

    def in_progress(self, partition: int, *, attempts: int, queues: int, oldest_s: float) -> None:
        """Gauges, about once a second: attempts, queues, age of the oldest event."""
        label = str(partition)
        metrics.IN_FLIGHT.labels(label).set(attempts)
        metrics.LANES.labels(label).set(queues)
        metrics.OLDEST_HOLD_SECONDS.labels(label).set(oldest_s)

    def skipped(self, event: Event) -> None:
        metrics.SKIPPED.inc()
        self._log.debug("event.skipped", event_id=event.id)

    def misrouted(self, customer_id: str) -> None:
        metrics.MISROUTED.inc()
        self._log.info("event.misrouted", customer_id=customer_id)

    def gap(self, partition: int, expected: int, offset: int) -> None:
        """Offsets are missing before a record; the partition is read again."""
        metrics.GAPS.inc()
        self._log.warning(
            "partition.offset_gap", partition=partition, expected=expected, offset=offset
        )

    def buried(self, letter: DeadLetter) -> None:
        metrics.DEAD_LETTERS.labels(letter.reason, category_of(letter.reason)).inc()
        if letter.reason == SUSPENDED:
            # A deferred event, not a failure. The suspension has its own log line.
            return
        customer_id = (letter.key or b"").decode("utf-8", "replace")
        if self._storms.note(customer_id):
            self._log.warning(
                "tenant.dead_letter_storm",
                customer_id=customer_id,
                per_minute=self._storms.per_minute,
            )
        if letter.endpoint_id is None:
            self._log.warning(
                "event.dead_lettered",
                event_id=letter.event_id,
                code=letter.reason,
                partition=letter.record.partition,
                offset=letter.record.offset,
            )

    def suspended(self, customer_id: str, endpoint_id: str, why: Why) -> None:
        metrics.SUSPENSIONS.labels(why).inc()
        self._log.warning(
            "endpoint.suspended", customer_id=customer_id, endpoint_id=endpoint_id, why=why
        )

    def probed(self, customer_id: str, endpoint_id: str, code: str, next_in_s: float) -> None:
        """An attempt at a deferred event failed; the next one follows."""
        metrics.FAILED_PROBES.inc()
        self._log.info(
            "endpoint.probe_failed",
            customer_id=customer_id,
            endpoint_id=endpoint_id,
            code=code,
            delay_s=round(next_in_s, 3),
        )

    def drained(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        """A deferred event was delivered or dead-lettered."""
        metrics.DRAINED.inc()
        self.delivered(event, customer_id, endpoint_id, outcome)

    def recovered(self, customer_id: str, endpoint_id: str) -> None:
        self._log.warning("endpoint.resumed", customer_id=customer_id, endpoint_id=endpoint_id)

    def suspensions(self, partition: int, count: int) -> None:
        metrics.SUSPENDED_ENDPOINTS.labels(str(partition)).set(count)

    def bury_failed(self, times: int) -> None:
        """A write of a dead letter failed for the `times`-th time; its partition is blocked."""
        metrics.DEAD_LETTER_WRITE_FAILURES.inc()
        if times == 1:
            metrics.DEAD_LETTER_WRITES_HELD.inc()

    def bury_ended(self) -> None:
        """A dead letter that failed at first is written, or its partition was revoked."""
        metrics.DEAD_LETTER_WRITES_HELD.dec()

    def blocked(self, address: str, port: int, reason: str) -> None:
        # The tenant does not learn the address, the operator does.
        self._log.warning("egress.blocked", address=address, port=port, reason=reason)

    def resource_exhausted(self, resource: str) -> None:
        """This process lacked a resource; the same attempt is repeated soon."""
        metrics.RESOURCE_EXHAUSTED.labels(resource).inc()
        if count := self._shortages.lines(self._monotonic(), resource):
            self._log.error(
                "delivery.resource_exhausted",
                resource=resource,
                requests=count,
                hint=_SHORTAGE_HINTS[resource],
            )

    def crashed(self, event_id: str, error: Exception) -> None:
        """An unexpected error, which counts as a failed attempt."""
        self._log.error("delivery.internal_error", event_id=event_id, exc_info=error)

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        metrics.COMMANDS.labels(code).inc()
        self._log.info("command.applied", command=command_type, code=code, customer_id=customer_id)

    def command_invalid(self, record: Record, code: str) -> None:
        metrics.COMMANDS.labels(code).inc()
        if code == "command_forged":
            metrics.FORGED_RECORDS.inc()
            self._log.error(
                "tenants.unauthenticated_record",
                code=code,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
            )
            return
        self._log.error(
            "command.invalid", code=code, partition=record.partition, offset=record.offset
        )


def write_failure_counter(topics: Iterable[str]) -> Callable[[str, str], None]:
    """Return a function that counts failed writes by topic and code.

    The series of refused writes begin at 0: an alert on their increase would miss the first failure
    of a series that begins at 1.
    """
    for topic in topics:
        metrics.WRITE_FAILURES.labels(topic, "record_refused")

    def count(topic: str, code: str) -> None:
        metrics.WRITE_FAILURES.labels(topic, code).inc()

    return count
