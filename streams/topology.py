"""The composition root: settings in, a wired Faust application out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import faust

from agents.deliver import deliver
from agents.tenants import tenants
from hookseal.dead_letters.deferred_events import KafkaDeferredEvents
from hookseal.dead_letters.writer import KafkaDeadLetters
from hookseal.delivery.ports import Clock, Ports
from hookseal.kafka import record_batches
from hookseal.kafka.consumer import LogEnds
from hookseal.kafka.delivery_log import KafkaAttemptLog
from hookseal.kafka.producer import Producer
from hookseal.publishing.router import KafkaNotices, KafkaRouter
from hookseal.runtime.engine import build_engine, build_transport
from hookseal.runtime.partition_runner import PartitionRunner
from hookseal.runtime.process import tracing_to
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logging_config
from hookseal.telemetry.observer import Observer, write_failure_counter
from hookseal.tenants.commands import ApplyCommand, KafkaCommands
from hookseal.tenants.key_check import key_fit
from streams.faust_app import HooksealApp
from streams.faust_patches.actor_restarts import RebalanceSafeSupervisor
from streams.faust_patches.parallel_revocation import ParallelRevocationAgent
from streams.faust_patches.quiet_worker import QuietWorker
from streams.gap_detector import GapDetector
from streams.lifecycle import Lifecycle
from streams.stream_source import StreamSource
from streams.tenant_commands import TenantCommandProcessor
from streams.tenants_table import ChangelogTable, FaustTenants

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.kafka.cluster import Cluster
    from hookseal.kafka.topics import TopicNames
    from streams.consumer import OffsetTrackingConsumer

__all__ = ["create_app"]

# Of the buffer, so that a batch that is already fetched always fits into a queue that is
# at high water (80 %): otherwise its put blocks the one fetcher of all partitions.
_POLL_FRACTION = 8
_HOUR_S = 3600.0


def create_app(settings: Settings) -> HooksealApp:
    """Wire the worker. Nothing connects before the app starts."""
    names = settings.names
    record_batches.install(metrics.UNREADABLE_BATCHES.inc)
    app = HooksealApp(settings.cluster.app_id, **faust_options(settings))
    app.fetch_max_wait_s, app.fast_path = settings.fetch_max_wait_s, settings.fast_path

    def consumer() -> OffsetTrackingConsumer:
        return cast("OffsetTrackingConsumer", app.consumer)

    clock = Clock()
    attempts = _attempt_log(settings)
    observer = Observer(attempts=attempts, storm_per_minute=settings.storm_dead_letters_per_minute)
    producer = Producer(settings.cluster, on_failure=write_failure_counter(names.configs()))
    dead_letters = KafkaDeadLetters(producer, names, observer)
    codec = settings.tenant_codec()
    ends = LogEnds(settings.cluster)
    letters = KafkaDeferredEvents(settings.cluster, names, producer)
    transport = build_transport(settings, on_blocked=observer.blocked)
    tracing = tracing_to(settings.otlp_endpoint, "hookseal-worker")
    lifecycle = Lifecycle(
        settings=settings,
        names=names,
        producer=producer,
        ends=ends,
        transport=transport,
        letters=letters,
        dead_letters=dead_letters,
        attempts=attempts,
        tracing=tracing,
    )
    tenants = FaustTenants(
        _tenants_table(app, settings),
        codec=codec,
        on_forged=metrics.FORGED_RECORDS.inc,
        key_fit=partial(key_fit, settings.cluster, codec),
        on_not_stored=metrics.TENANT_WRITES_REFUSED.inc,
        partitions=lifecycle.partitions,
        ends=ends,
        commands=lambda: lifecycle.commands,
        commands_topic=names.commands,
        clock=clock,
        wait_s=settings.unknown_tenant_wait_s,
    )
    handler, suspensions = build_engine(
        settings,
        Ports(
            tenants=tenants,
            transport=transport,
            commands=KafkaCommands(producer, names, codec),
            letters=letters,
            dead_letters=dead_letters,
            router=KafkaRouter(producer, names, lifecycle.partitions),
            observer=observer,
            clock=clock,
            gate=lambda _: consumer().membership,
            tracing=tracing,
        ),
    )
    tenants.on_change = suspensions.changed
    gap_detector = partial(GapDetector, consumer=consumer, observer=observer, clock=clock)
    lifecycle.tenants = tenants
    lifecycle.partition_runner = PartitionRunner(
        source=partial(
            StreamSource, topic=names.events, consumer=consumer, observer=observer, clock=clock
        ),
        handler=handler,
        catch_up=tenants.catch_up,
        observer=observer,
        clock=clock,
        ordering=settings.ordering,
        limits=settings.scheduler_limits,
        pressure=suspensions if settings.ordering == "customer" else None,
        at_a_time=settings.attempts_at_a_time,
        each=settings.attempts_each,
        grace_s=settings.shutdown_grace_s,
    )
    lifecycle.suspended_endpoints = suspensions
    lifecycle.commands = TenantCommandProcessor(
        apply=ApplyCommand(
            codec=codec,
            table=tenants,
            watcher=observer,
            notices=KafkaNotices(producer, names),
        ),
        consumer=consumer,
        gap_detector=gap_detector,
        crash=_crash(app),
    )
    lifecycle.is_recovering = lambda: bool(app.in_recovery)
    app.lifecycle = lifecycle
    _bind_agents(app, names, lifecycle)
    return app


def _attempt_log(settings: Settings) -> KafkaAttemptLog | None:
    if not settings.delivery_log:
        return None
    return KafkaAttemptLog(
        settings.cluster, settings.names, on_dropped=metrics.DELIVERY_LOG_DROPPED.inc
    )


def _bind_agents(app: HooksealApp, names: TopicNames, lifecycle: Lifecycle) -> None:
    # Names are given, so that moving a function renames neither topics nor state.
    # isolated_partitions: one actor and one queue per partition, so that a customer in
    # backoff delays only the partition it shares, not every partition of this worker.
    app.agent(_topic(app, names.events), name="deliver", isolated_partitions=True)(
        partial(deliver, partitions=lifecycle.partition_runner)
    )
    app.agent(_topic(app, names.commands), name="tenants")(
        partial(tenants, commands=lifecycle.commands)
    )

    async def assigned(_: Any, assignment: set[Any], **__: Any) -> None:
        await lifecycle.assigned(assignment, cast("OffsetTrackingConsumer", app.consumer))

    app.on_partitions_assigned.connect(cast("Any", assigned), weak=False)


def _topic(app: HooksealApp, name: str) -> Any:
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )


def _tenants_table(app: HooksealApp, settings: Settings) -> ChangelogTable:
    return cast(
        "ChangelogTable",
        app.Table(
            "tenants",
            partitions=settings.partitions,
            # Bytes go through Faust as they are; we encode and decode them.
            key_type=bytes,
            value_type=bytes,
            options={"driver": "rocksdict"} if settings.store == "rocksdb" else None,
            help="One document per tenant, written by the agent `tenants` alone.",
        ),
    )


def _crash(app: HooksealApp) -> Any:
    def crash(error: BaseException) -> None:
        app.add_future(app.crash(error))

    return crash


def faust_options(settings: Settings) -> dict[str, Any]:
    longest_s = max(settings.longest_backoff_s * 2, _HOUR_S)
    return {
        "broker": [f"kafka://{place}" for place in settings.kafka_bootstrap.split(",")],
        "broker_credentials": _credentials(settings.cluster),
        "autodiscover": False,
        "origin": "streams",
        "datadir": str(settings.data_dir),
        "store": "rocksdb://" if settings.store == "rocksdb" else "memory://",
        # A standby of the memory store is thrown away and read again on failover.
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
        # True waits for the event in hand at each rebalance: with a backoff longer than
        # the rebalance timeout the worker is thrown out, again and again.
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
