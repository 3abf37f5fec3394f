"""Turns events of the engine into log lines and metrics.

One line per attempt (`delivery.attempted`). No payload, secret, URL query or header: the fields are
ids, codes and times.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from hookseal.domain.dead_letter import SUSPENDED, category_of
from hookseal.retry import LogThrottle
from hookseal.telemetry import metrics
from hookseal.telemetry.storms import STORM_PER_MINUTE, StormWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hookseal.delivery.ports import AttemptLog
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
    "connections": "All connections of the pool stayed in use; raise the limit of open files, or "
    "add workers.",
    "connections_per_host": "100 requests to one host are waiting for their answers; the host is "
    "slow, or needs more workers.",
}


class TelemetryObserver:
    """`Observer` of the engine and `TenantsWatcher` of the commands."""

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
        """A request was encrypted and signed."""
        metrics.SEAL_SECONDS.observe(seconds)

    def delivered(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        """One delivery ended: accepted or dead-lettered."""
        if outcome.accepted:
            self._delivered.inc()
            metrics.DELIVERY_SECONDS.observe(time.time() - event.record.timestamp_ms / 1000)
            return
        if outcome.code == SUSPENDED:
            metrics.DELIVERIES.labels("set_aside").inc()
            self._log.info(
                "delivery.set_aside",
                customer_id=customer_id,
                event_id=event.id,
                endpoint_id=endpoint_id,
                partition=event.record.partition,
                offset=event.record.offset,
            )
            return
        metrics.DELIVERIES.labels("dead_lettered").inc()
        self._log.warning(
            "delivery.dead_lettered",
            customer_id=customer_id,
            event_id=event.id,
            endpoint_id=endpoint_id,
            attempts=outcome.attempts,
            code=outcome.code,
            partition=event.record.partition,
            offset=event.record.offset,
        )

    def waiting(self, partition: int, seconds: float) -> None:
        """A delivery backs off for `seconds`."""
        metrics.IN_BACKOFF.labels(str(partition)).inc()
        self._log.debug("lane.waiting", partition=partition, seconds=round(seconds, 3))

    def resumed(self, partition: int) -> None:
        """A delivery ends its backoff."""
        metrics.IN_BACKOFF.labels(str(partition)).dec()

    def in_hand(self, partition: int, *, attempts: int, lines: int, oldest_s: float) -> None:
        """Gauges of a partition: attempts on the wire, queues, and age of the oldest event."""
        label = str(partition)
        metrics.IN_FLIGHT.labels(label).set(attempts)
        metrics.LANES.labels(label).set(lines)
        metrics.OLDEST_HOLD_SECONDS.labels(label).set(oldest_s)

    def skipped(self, event: Event) -> None:
        """No endpoint subscribes to the event."""
        metrics.SKIPPED.inc()
        self._log.debug("event.skipped", event_id=event.id)

    def misrouted(self, customer_id: str) -> None:
        """A record was on a wrong partition and was produced to the right one."""
        metrics.MISROUTED.inc()
        self._log.info("event.misrouted", customer_id=customer_id)

    def gap(self, partition: int, expected: int, offset: int) -> None:
        """Offsets are missing before a record; the partition is read again."""
        metrics.GAPS.inc()
        self._log.warning("lane.gap", partition=partition, expected=expected, offset=offset)

    def buried(self, letter: DeadLetter) -> None:
        """A dead letter was written."""
        metrics.DEAD_LETTERS.labels(letter.reason, category_of(letter.reason)).inc()
        if letter.reason == SUSPENDED:
            # A deferred event, not a failure. The suspension has its own log line.
            return
        customer_id = (letter.key or b"").decode("utf-8", "replace")
        if self._storms.note(customer_id):
            self._log.warning(
                "tenant.storm", customer_id=customer_id, per_minute=self._storms.per_minute
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
        """An endpoint is suspended."""
        metrics.SUSPENSIONS.labels(why).inc()
        self._log.warning(
            "endpoint.suspended", customer_id=customer_id, endpoint_id=endpoint_id, why=why
        )

    def probed(self, customer_id: str, endpoint_id: str, code: str, next_in_s: float) -> None:
        """A probe of a suspended endpoint failed."""
        metrics.FAILED_PROBES.inc()
        self._log.info(
            "endpoint.probed",
            customer_id=customer_id,
            endpoint_id=endpoint_id,
            code=code,
            next_in_s=round(next_in_s, 3),
        )

    def drained(self, event: Event, customer_id: str, endpoint_id: str, outcome: Outcome) -> None:
        """A deferred event was delivered or dead-lettered."""
        metrics.DRAINED.inc()
        self.delivered(event, customer_id, endpoint_id, outcome)

    def recovered(self, customer_id: str, endpoint_id: str) -> None:
        """A suspension ended."""
        self._log.warning("endpoint.recovered", customer_id=customer_id, endpoint_id=endpoint_id)

    def suspensions(self, partition: int, count: int) -> None:
        """Gauge: suspended endpoints of the partition."""
        metrics.SUSPENDED_ENDPOINTS.labels(str(partition)).set(count)

    def bury_failed(self, times: int) -> None:
        """A write of a dead letter failed for the `times`-th time; its partition is blocked."""
        metrics.DEAD_LETTER_WRITE_FAILURES.inc()
        if times == 1:
            metrics.DEAD_LETTER_WRITES_HELD.inc()

    def bury_ended(self) -> None:
        """The dead letter is written, or its partition was revoked."""
        metrics.DEAD_LETTER_WRITES_HELD.dec()

    def blocked(self, address: str, port: int, reason: str) -> None:
        """An address was refused. The tenant does not learn which one, the operator does."""
        self._log.warning("egress.blocked", address=address, port=port, reason=reason)

    def resource_exhausted(self, resource: str) -> None:
        """This process lacked a resource. Logs at once, then once a minute."""
        metrics.RESOURCE_EXHAUSTED.labels(resource).inc()
        if count := self._shortages.lines(self._monotonic(), resource):
            self._log.error(
                "delivery.resource_exhausted",
                resource=resource,
                requests=count,
                hint=_SHORTAGE_HINTS[resource],
            )

    def crashed(self, event_id: str, error: Exception) -> None:
        """An unexpected error."""
        self._log.error("delivery.crashed", event_id=event_id, exc_info=error)

    def command_applied(self, command_type: str, code: str, customer_id: str) -> None:
        """A command took effect (`ok`) or was refused."""
        metrics.COMMANDS.labels(code).inc()
        self._log.info("command.applied", command=command_type, code=code, customer_id=customer_id)

    def command_invalid(self, record: Record, code: str) -> None:
        """A record is not a command and was skipped."""
        metrics.COMMANDS.labels(code).inc()
        if code == "command_forged":
            metrics.FORGED_RECORDS.inc()
            self._log.error(
                "registry.forged",
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
