"""The composition root: settings in, a wired Faust application out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from agents.deliver import deliver
from agents.tenants import tenants as tenants_agent
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
from hookseal.telemetry.observer import Observer, write_failure_counter
from hookseal.tenants.commands import ApplyCommand, KafkaCommands
from hookseal.tenants.key_check import key_fit
from streams.faust_app import HooksealApp
from streams.gap_detector import GapDetector
from streams.lifecycle import Lifecycle
from streams.stream_source import StreamSource
from streams.tenant_commands import CommandProgress, TenantCommandProcessor
from streams.tenants_table import FaustTenants

if TYPE_CHECKING:
    from hookseal.config import Settings
    from streams.changelog import ChangelogTable
    from streams.consumer import OffsetTrackingConsumer


def create_app(settings: Settings) -> HooksealApp:
    """Wire the worker. Nothing connects before the app starts."""
    names = settings.names
    record_batches.install(metrics.UNREADABLE_BATCHES.inc)
    app = HooksealApp(settings.cluster.app_id, settings)

    def consumer() -> OffsetTrackingConsumer:
        return app.consumer

    def partitions() -> int:
        return app.partitions

    clock = Clock()
    attempts = None
    if settings.delivery_log:
        attempts = KafkaAttemptLog(
            settings.cluster, names, on_dropped=metrics.DELIVERY_LOG_DROPPED.inc
        )
    observer = Observer(attempts=attempts, storm_per_minute=settings.storm_dead_letters_per_minute)
    producer = Producer(settings.cluster, on_failure=write_failure_counter(names.configs()))
    dead_letters = KafkaDeadLetters(producer, names, observer)
    codec = settings.tenant_codec()
    ends = LogEnds(settings.cluster)
    letters = KafkaDeferredEvents(settings.cluster, names, producer)
    transport = build_transport(settings, on_blocked=observer.blocked)
    tracing = tracing_to(settings.otlp_endpoint, "hookseal-worker")
    progress = CommandProgress(
        names.commands,
        consumer=consumer,
        ends=ends,
        clock=clock,
        is_recovering=lambda: bool(app.in_recovery),
    )
    table = app.Table(
        "tenants",
        partitions=settings.partitions,
        # Bytes: hookseal encodes and decodes the documents itself.
        key_type=bytes,
        value_type=bytes,
        options={"driver": "rocksdict"} if settings.store == "rocksdb" else None,
        help="One document per tenant, written by the agent `tenants` alone.",
    )
    tenants = FaustTenants(
        cast("ChangelogTable", table),
        codec=codec,
        partitions=partitions,
        commands=progress,
        wait_s=settings.unknown_tenant_wait_s,
        key_fit=partial(key_fit, settings.cluster, codec),
    )
    handler, suspensions = build_engine(
        settings,
        Ports(
            tenants=tenants,
            transport=transport,
            commands=KafkaCommands(producer, names, codec),
            letters=letters,
            dead_letters=dead_letters,
            router=KafkaRouter(producer, names, partitions),
            observer=observer,
            clock=clock,
            gate=lambda _: consumer().membership,
            tracing=tracing,
        ),
    )
    tenants.on_change = suspensions.changed
    partition_runner = PartitionRunner(
        source=partial(
            StreamSource, topic=names.events, consumer=consumer, observer=observer, clock=clock
        ),
        handler=handler,
        catch_up=tenants.catch_up,
        observer=observer,
        clock=clock,
        ordering=settings.ordering,
        limits=settings.scheduler_limits,
        pressure=suspensions,
        at_a_time=settings.max_in_flight,
        each=settings.max_in_flight_per_customer,
        grace_s=settings.shutdown_grace_s,
    )
    commands = TenantCommandProcessor(
        progress=progress,
        apply=ApplyCommand(
            codec=codec,
            table=tenants,
            watcher=observer,
            notices=KafkaNotices(producer, names),
        ),
        consumer=consumer,
        gap_detector=partial(GapDetector, consumer=consumer, observer=observer, clock=clock),
        crash=lambda error: app.add_future(app.crash(error)),
    )
    app.lifecycle = Lifecycle(
        app=app,
        settings=settings,
        producer=producer,
        ends=ends,
        transport=transport,
        letters=letters,
        dead_letters=dead_letters,
        attempts=attempts,
        tracing=tracing,
        tenants=tenants,
        commands=commands,
        partition_runner=partition_runner,
        suspended_endpoints=suspensions,
    )
    app.on_partitions_assigned.connect(cast("Any", app.lifecycle.on_assigned), weak=False)
    # Names are given, so that to move a function renames neither topics nor state.
    # isolated_partitions: one actor and one queue per partition, so that a customer in backoff
    # delays only its own partition, not every partition of this worker.
    app.agent(_topic(app, names.events), name="deliver", isolated_partitions=True)(
        partial(deliver, partitions=partition_runner)
    )
    app.agent(_topic(app, names.commands), name="tenants")(
        partial(tenants_agent, commands=commands)
    )
    return app


def _topic(app: HooksealApp, name: str) -> Any:
    return app.topic(
        name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
