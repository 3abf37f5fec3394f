"""Starts and stops what a worker needs around its streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from hookseal.errors import BrokerError, ConfigurationError
from hookseal.kafka.topics import partition_count
from hookseal.runtime.engine import warn_of_open_egress
from streams.gauges import Lag, Recovery
from streams.probes import Probes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.config import Settings
    from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
    from hookseal.dead_letters.writer import KafkaDeadLetters
    from hookseal.delivery.suspension import SuspensionManager
    from hookseal.delivery.tracing import Tracing
    from hookseal.kafka.consumer import LogEnds
    from hookseal.kafka.delivery_log import KafkaAttemptLog
    from hookseal.kafka.producer import Producer
    from hookseal.kafka.topics import TopicNames
    from hookseal.outbound.client import HttpTransport
    from hookseal.runtime.partition_runner import PartitionRunner
    from streams.consumer import OffsetTrackingConsumer
    from streams.tenant_commands import TenantCommandProcessor
    from streams.tenants_table import FaustTenants


_REPORT_EVERY_S = 1.0

_log = structlog.stdlib.get_logger("hookseal.worker")


class Lifecycle:
    """Reacts to start, assignment, revocation and stop of the worker."""

    partition_runner: PartitionRunner[Any]
    suspended_endpoints: SuspensionManager
    commands: TenantCommandProcessor
    tenants: FaustTenants

    def __init__(
        self,
        *,
        settings: Settings,
        names: TopicNames,
        producer: Producer,
        ends: LogEnds,
        transport: HttpTransport,
        letters: KafkaDeferredEvents,
        dead_letters: KafkaDeadLetters,
        attempts: KafkaAttemptLog | None,
        tracing: Tracing | None,
    ) -> None:
        self._settings = settings
        self._names = names
        self._producer = producer
        self._ends = ends
        self._transport = transport
        self._letters = letters
        self._dead_letters = dead_letters
        self._attempts = attempts
        self._tracing = tracing
        self._partitions = settings.partitions
        self._reporting: asyncio.Task[None] | None = None
        self._probes: Probes | None = None
        self._consumer: OffsetTrackingConsumer | None = None
        self._draining = False
        self._lag = Lag()
        self._recovery = Recovery()
        self.is_recovering: Callable[[], bool] = lambda: False

    def partitions(self) -> int:
        """Return the number of partitions; as the broker has it, once started."""
        return self._partitions

    async def start(self) -> None:
        """Check the topics and connect.

        Raises:
            BrokerError: `broker_unreachable`.
            ConfigurationError: `topic_missing`, `partitions_differ`, `port_unavailable`.
        """
        self._partitions = await partition_count(self._settings.cluster)
        await self._producer.start()
        await self._ends.start()
        await self._transport.start()
        if self._attempts is not None:
            await self._attempts.start()
        self._listen()
        warn_of_open_egress(self._settings)
        self._reporting = asyncio.create_task(self._report())

    def _listen(self) -> None:
        port, host = self._settings.metrics_port, self._settings.metrics_host
        if port is None:
            return
        try:
            self._probes = Probes(host, port, self.why_not_ready)
        except OSError as error:
            raise ConfigurationError(
                "port_unavailable",
                f"{host}:{port} cannot be listened on: {error.strerror}.",
                field="HOOKSEAL_METRICS_PORT",
            ) from None

    def why_not_ready(self) -> str | None:
        """Return what keeps this worker from delivering, None if nothing does.

        Returns:
            `starting`: no partitions were assigned yet, be it none; `draining`;
            `recovering`: the tenants table is being read; `no_member`: the group may have
            taken it for dead; `dead_letters_unwritable`: a partition waits until its dead
            letter is written.
        """
        if self._draining:
            return "draining"
        if self._consumer is None:
            return "starting"
        if self.is_recovering():
            return "recovering"
        if self._consumer.membership.has_lapsed:
            return "no_member"
        return "dead_letters_unwritable" if self._dead_letters.is_held else None

    async def assigned(self, assignment: set[TP], consumer: OffsetTrackingConsumer) -> None:
        """Drop the state of partitions of other workers, and start the suspended endpoints."""
        held = self._event_partitions(assignment)
        self._consumer = consumer
        self._lag.now_of(consumer, {tp for tp in assignment if tp.topic == self._names.events})
        self.tenants.keep_only(held)
        self.commands.keep_only(held)
        try:
            for topic in (self._names.events, self._names.commands):
                for partition, end in (await self._ends.of(topic, held)).items():
                    is_new = consumer.reset_if_topic_recreated(TP(topic, partition), end)
                    if is_new and topic == self._names.events:
                        self.partition_runner.reset(partition)
        except BrokerError as error:
            # A guard for topics that are made anew under a running worker: not worth the
            # assignment.
            _log.warning("worker.end_offsets_unknown", code=error.code)
        await self.suspended_endpoints.assign(held)
        _log.info("worker.partitions_assigned", partitions=sorted(held))

    def _event_partitions(self, tps: set[TP]) -> set[int]:
        return {tp.partition for tp in tps if tp.topic == self._names.events}

    async def on_revoked(self, revoked: set[TP]) -> None:
        """Stop the partitions that were revoked."""
        await asyncio.gather(
            self.partition_runner.stop(self._event_partitions(revoked)),
            self.suspended_endpoints.stop({tp.partition for tp in revoked}),
        )

    async def flush_before_revoke(self) -> None:
        """Wait a moment for running requests, before the partitions are revoked."""
        grace_s = self._settings.handover_grace_s
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
        self._draining = True
        _log.info("worker.draining")
        await asyncio.gather(self.partition_runner.stop(), self.suspended_endpoints.stop())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S)
            self.partition_runner.report()
            self._lag.report()
            self._recovery.report(is_recovering=self.is_recovering())

    async def close(self) -> None:
        """Disconnect."""
        if self._reporting is not None:
            self._reporting.cancel()
        if self._probes is not None:
            await asyncio.to_thread(self._probes.close)
        await self._transport.close()
        if self._attempts is not None:
            await self._attempts.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        await self._letters.close()
        await self._ends.close()
        await self._producer.close()
