"""Reacts to start, assignment, revocation and stop of the worker."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from hookseal.errors import BrokerError, ConfigurationError
from hookseal.kafka.topics import partition_count
from hookseal.runtime.engine import warn_of_open_egress
from hookseal.telemetry import metrics
from streams.probes import Probes

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
    from hookseal.dead_letters.writer import KafkaDeadLetters
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.delivery.tracing import Tracing
    from hookseal.kafka.consumer import LogEnds
    from hookseal.kafka.delivery_log import KafkaAttemptLog
    from hookseal.kafka.producer import Producer
    from hookseal.outbound.client import HttpTransport
    from hookseal.runtime.partition_runner import PartitionRunner
    from streams.consumer import OffsetTrackingConsumer
    from streams.faust_app import HooksealApp
    from streams.tenant_commands import TenantCommandProcessor
    from streams.tenants_table import FaustTenants

_REPORT_EVERY_S = 1.0

_log = structlog.stdlib.get_logger("hookseal.worker")


class Gauges:
    """Lag and uncommitted records by partition, and duration of the recovery, as metrics."""

    def __init__(self) -> None:
        self._partitions: frozenset[TP] = frozenset()
        self._recovering_since: float | None = None

    def assign(self, partitions: set[TP]) -> None:
        """Replace the partitions whose lag is reported."""
        for tp in self._partitions - partitions:
            # The new owner reports it; two workers would count it twice.
            metrics.LAG.remove(str(tp.partition))
            metrics.UNCOMMITTED_RECORDS.remove(str(tp.partition))
        self._partitions = frozenset(partitions)

    def report(self, consumer: OffsetTrackingConsumer, *, is_recovering: bool) -> None:
        """Measure; to be called about once a second."""
        for tp in self._partitions:
            # None until something was fetched.
            if (stable := consumer.stable_end(tp)) is not None:
                lag = max(0, stable - consumer.low_watermark(tp))
                metrics.LAG.labels(str(tp.partition)).set(lag)
                uncommitted = max(0, consumer.highwater(tp) - stable)
                metrics.UNCOMMITTED_RECORDS.labels(str(tp.partition)).set(uncommitted)
        metrics.RECOVERING.set(is_recovering)
        if is_recovering:
            self._recovering_since = self._recovering_since or time.monotonic()
        elif self._recovering_since is not None:
            metrics.RECOVERY_SECONDS.set(time.monotonic() - self._recovering_since)
            self._recovering_since = None


@dataclass(kw_only=True, eq=False)
class Lifecycle:
    """Starts, assigns and stops what a worker needs around its streams."""

    app: HooksealApp
    settings: Settings
    producer: Producer
    ends: LogEnds
    transport: HttpTransport
    letters: KafkaDeferredEvents
    dead_letters: KafkaDeadLetters
    attempts: KafkaAttemptLog | None
    tracing: Tracing | None
    tenants: FaustTenants
    commands: TenantCommandProcessor
    partition_runner: PartitionRunner[Any]
    suspended_endpoints: SuspensionManager
    _gauges: Gauges = field(default_factory=Gauges, init=False)
    _probes: Probes | None = field(default=None, init=False)
    _reporting: asyncio.Task[None] | None = field(default=None, init=False)
    _is_assigned: bool = field(default=False, init=False)
    _is_draining: bool = field(default=False, init=False)

    async def start(self) -> None:
        """Check the topics and connect; raise `HooksealError` if the worker cannot start."""
        self.app.partitions = await partition_count(self.settings.cluster)
        for part in (self.producer, self.ends, self.transport, self.attempts):
            if part is not None:
                await part.start()
        self._listen()
        warn_of_open_egress(self.settings)
        self._reporting = asyncio.create_task(self._report())

    def _listen(self) -> None:
        port, host = self.settings.metrics_port, self.settings.metrics_host
        if port is None:
            return
        try:
            self._probes = Probes(host, port, self.why_not_ready)
        except OSError as error:
            raise ConfigurationError(
                "port_unavailable",
                f"Cannot listen on {host}:{port}: {error.strerror}.",
                field="HOOKSEAL_METRICS_PORT",
            ) from None

    def why_not_ready(self) -> str | None:
        """Return why this worker does not deliver, or None if it does.

        `starting`: no assignment yet, not even an empty one. `recovering`: the tenants table is
        being read. `no_member`: the group may have removed this worker. `dead_letters_unwritable`:
        a partition waits until its dead letter is written.
        """
        if self._is_draining:
            return "draining"
        if not self._is_assigned:
            return "starting"
        if self.app.in_recovery:
            return "recovering"
        if self.app.consumer.membership.has_lapsed:
            return "no_member"
        return "dead_letters_unwritable" if self.dead_letters.is_held else None

    async def on_assigned(self, _: object, assignment: set[TP], **__: object) -> None:
        """Drop the state of partitions of other workers, and start the suspended endpoints."""
        names, consumer = self.settings.names, self.app.consumer
        held = self._event_partitions(assignment)
        self._is_assigned = True
        self._gauges.assign({TP(names.events, partition) for partition in held})
        self.tenants.keep_only(held)
        self.commands.keep_only(held)
        try:
            for topic in (names.events, names.commands):
                for partition, end in (await self.ends.of(topic, held)).items():
                    is_new = consumer.reset_if_topic_recreated(TP(topic, partition), end)
                    if is_new and topic == names.events:
                        self.partition_runner.reset(partition)
        except BrokerError as error:
            # This guards against topics that are recreated under a running worker. It is not
            # worth the assignment.
            _log.warning("worker.end_offsets_unknown", code=error.code)
        await self.suspended_endpoints.assign(held)
        _log.info("worker.partitions_assigned", partitions=sorted(held))

    def _event_partitions(self, tps: set[TP]) -> set[int]:
        return {tp.partition for tp in tps if tp.topic == self.settings.names.events}

    async def on_revoked(self, revoked: set[TP]) -> None:
        """Stop the partitions that were revoked."""
        await asyncio.gather(
            self.partition_runner.stop(self._event_partitions(revoked)),
            self.suspended_endpoints.stop({tp.partition for tp in revoked}),
        )

    async def flush_before_revoke(self) -> None:
        """Wait HOOKSEAL_HANDOVER_GRACE_S for running requests, before partitions are revoked."""
        grace_s = self.settings.handover_grace_s
        await asyncio.gather(
            self.partition_runner.wait_idle(grace_s), self.suspended_endpoints.wait_idle(grace_s)
        )

    async def reset_partitions(self, partitions: set[TP]) -> None:
        """Drop the events in progress of partitions that another worker may have had meanwhile."""
        await asyncio.gather(
            self.partition_runner.reset_partitions(self._event_partitions(partitions)),
            self.suspended_endpoints.stop({tp.partition for tp in partitions}),
        )

    async def shutdown(self) -> None:
        """Stop all partitions."""
        self._is_draining = True
        _log.info("worker.draining")
        await asyncio.gather(self.partition_runner.stop(), self.suspended_endpoints.stop())

    async def close(self) -> None:
        """Disconnect."""
        if self._reporting is not None:
            self._reporting.cancel()
        if self._probes is not None:
            await asyncio.to_thread(self._probes.close)
        for part in (self.transport, self.attempts, self.letters, self.ends, self.producer):
            if part is not None:
                await part.close()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self.partition_runner.report()
            self._gauges.report(self.app.consumer, is_recovering=bool(self.app.in_recovery))
