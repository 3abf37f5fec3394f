"""The Faust application: its settings, its start and its stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import faust
import structlog
from mode.utils.objects import cached_property

from hookseal.errors import BrokerError, HooksealError
from hookseal.telemetry.logs import logging_config
from streams.changelog import ChangelogTable
from streams.consumer import OffsetTrackingTransport
from streams.fast_path.partition_queue import PartitionQueue
from streams.faust_patches.actor_restarts import RebalanceSafeSupervisor
from streams.faust_patches.byte_pressure import ByteBoundedQueue
from streams.faust_patches.flow_control import KeepingFlowControl
from streams.faust_patches.no_web import WithoutWeb
from streams.faust_patches.parallel_revocation import ParallelRevocationAgent
from streams.faust_patches.quiet_worker import QuietWorker

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.kafka.cluster import Cluster
    from streams.consumer import OffsetTrackingConsumer
    from streams.lifecycle import Lifecycle

_log = structlog.stdlib.get_logger("hookseal.worker")
# Exit codes of sysexits.h. A restart does not help with the first; it may with the second.
_EX_CONFIG = 78
_EX_UNAVAILABLE = 69

# Fraction of the queue that one fetch returns, so that a fetched batch always fits into a queue
# that is nearly full (80 %). Otherwise its put would block the one fetcher of all partitions.
_POLL_FRACTION = 8
_HOUR_S = 3600.0


class HooksealApp(faust.App):
    """A Faust application that starts and stops what its agents need.

    `partitions` is the number that each topic has: once started, as the broker says.
    """

    BootStrategy = WithoutWeb
    lifecycle: Lifecycle
    consumer: OffsetTrackingConsumer

    def __init__(self, app_id: str, settings: Settings) -> None:
        self.partitions = settings.partitions
        self.fetch_max_wait_s = settings.fetch_max_wait_s
        self.fast_path = settings.fast_path
        super().__init__(app_id, **_faust_options(settings))

    @cached_property
    def flow_control(self) -> KeepingFlowControl:
        """The switch between the consumer and the queues."""
        return KeepingFlowControl(loop=self.loop)

    def FlowControlQueue(  # noqa: N802 - Faust's name
        self, maxsize: int | None = None, *, clear_on_resume: bool = False
    ) -> ByteBoundedQueue:
        """Return a queue for records or events."""
        queue = PartitionQueue if self.fast_path else ByteBoundedQueue
        return queue(
            maxsize=maxsize or 0, flow_control=self.flow_control, clear_on_resume=clear_on_resume
        )

    def _new_transport(self) -> Any:
        return OffsetTrackingTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Check the topics, and connect what the agents need."""
        await super().on_first_start()
        try:
            await self.lifecycle.start()
        except HooksealError as error:
            raise self.refused(error) from None

    def refused(self, error: HooksealError) -> SystemExit:
        """Log why the worker ends; return exit code 69 for an unreachable broker, else 78."""
        _log.critical(
            "worker.start_failed", code=error.code, field=error.field, message=error.message
        )
        sys.stderr.flush()
        return SystemExit(_EX_UNAVAILABLE if isinstance(error, BrokerError) else _EX_CONFIG)

    async def on_stop(self) -> None:
        """Let running attempts end, then stop reading and commit."""
        await self.lifecycle.shutdown()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """Disconnect what the agents needed."""
        await super().on_shutdown()
        await self.lifecycle.close()


def _faust_options(settings: Settings) -> dict[str, Any]:
    longest_s = max(settings.longest_backoff_s * 2, _HOUR_S)
    return {
        "broker": [f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        "broker_credentials": _credentials(settings.cluster),
        "autodiscover": False,
        "origin": "streams",
        "datadir": str(settings.data_dir),
        "store": "rocksdb://" if settings.store == "rocksdb" else "memory://",
        # A failover drops a standby of the memory store, and reads it again.
        "table_standby_replicas": 1 if settings.store == "rocksdb" else 0,
        "Agent": ParallelRevocationAgent,
        "Table": ChangelogTable,
        "agent_supervisor": RebalanceSafeSupervisor,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.partitions,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.group_instance_id or None,
        "producer_acks": -1,
        "stream_buffer_maxsize": settings.max_in_progress,
        "broker_max_poll_records": max(1, settings.max_in_progress // _POLL_FRACTION),
        "broker_commit_interval": settings.commit_interval_s,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_interval_s,
        "broker_request_timeout": max(90.0, settings.session_timeout_s),
        # True waits for the running event at each rebalance: with a backoff longer than the
        # rebalance timeout the group removes the worker, again and again.
        "stream_wait_empty": False,
        # A partition in a long backoff is neither dead nor stuck.
        "broker_max_poll_interval": longest_s,
        "stream_processing_timeout": longest_s,
        "broker_commit_livelock_soft_timeout": longest_s,
        "Worker": QuietWorker,
        "worker_redirect_stdouts": False,
        "logging_config": logging_config(settings.log_level, settings.log_format),
    }


def _credentials(cluster: Cluster) -> Any:
    context = cluster.tls_context() if cluster.has_tls else None
    if cluster.has_sasl:
        return faust.SASLCredentials(
            username=cluster.sasl_username,
            password=cluster.sasl_password,
            ssl_context=context,
            mechanism=cluster.sasl_mechanism,
        )
    return None if context is None else faust.SSLCredentials(context=context)
