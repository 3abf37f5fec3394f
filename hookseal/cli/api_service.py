"""Composition root of an API process."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from hookseal.api.factory import ApiParts, build
from hookseal.api.server import HttpServer, listen_tcp, listen_unix
from hookseal.dead_letters.index import AttemptIndex, LetterIndex
from hookseal.dead_letters.lookup import DeadLetterLookup
from hookseal.dead_letters.replay import Replayer
from hookseal.delivery.ports import Clock
from hookseal.kafka import record_batches
from hookseal.kafka.consumer_group import ConsumerGroup
from hookseal.kafka.producer import Producer
from hookseal.publishing.event_log import EventLog
from hookseal.publishing.event_search import EventSearch
from hookseal.runtime.process import tracing_to, url_check, warn_of_admin_key
from hookseal.seal.api_keys import ApiKeys
from hookseal.seal.sign import SigningSecrets
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger
from hookseal.telemetry.observer import write_failure_counter
from hookseal.tenants.commands import KafkaChanges, KafkaCommands
from hookseal.tenants.model import TenantsModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable
    from pathlib import Path

    from hookseal.config import Settings

_log = logger("hookseal.api")

Part = Literal["tenants", "events", "dead_letters", "attempts"]


class RunningApi(NamedTuple):
    """An API that listens, with its tenants and its indexes."""

    url: str
    model: TenantsModel
    letters: LetterIndex
    attempts: AttemptIndex


@asynccontextmanager
async def serve_api(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    socket: Path | None = None,
    partitions: Iterable[int] | None = None,
    parts: Collection[Part] = get_args(Part),
) -> AsyncIterator[RunningApi]:
    """Serve the API over Kafka on a TCP port (0 = any free one), or on a Unix socket.

    It starts without a broker and answers 503 until one is there.

    Args:
        partitions: Read the tenants of these partitions only; of all if None.
        parts: What is read from Kafka. Requests for other parts get 503.

    Raises:
        ConfigurationError: `master_key_missing`, `pepper_short`.
        OSError: The address is not available.
    """
    record_batches.install(metrics.UNREADABLE_BATCHES.inc)
    cluster, timeout_s = settings.cluster, settings.api_write_timeout_s
    codec, master_keys, clock = settings.tenant_codec(), settings.master_keys(), Clock()
    model = TenantsModel(
        cluster,
        codec,
        on_forged=metrics.FORGED_RECORDS.inc,
        partitions=partitions,
        max_staleness_s=settings.api_max_staleness_s,
    )
    producer = Producer(
        cluster,
        timeout_s=timeout_s,
        on_failure=write_failure_counter(settings.names.configs()),
    )
    events = EventLog(
        cluster,
        now=clock.now,
        timeout_s=timeout_s,
        ids_max=settings.api_event_ids,
        sealing=settings.sealing(),
    )
    commands = KafkaCommands(producer, settings.names, codec)
    letters = LetterIndex(cluster, settings.data_dir)
    attempts = AttemptIndex(cluster, settings.data_dir, rows_max=settings.delivery_index_rows)
    tracing = tracing_to(settings.otlp_endpoint, "hookseal-api")
    api = ApiParts(
        model=model,
        changes=KafkaChanges(model, commands, timeout_s=timeout_s),
        events=events,
        event_max_bytes=settings.event_max_bytes,
        tenant_max_events_per_s=settings.tenant_max_events_per_s,
        api_keys=ApiKeys(settings.peppers(), master_keys=master_keys),
        admin_key=settings.admin_key.get_secret_value() or None,
        secrets=SigningSecrets(*master_keys),
        check_url=url_check(settings),
        retry_max_s=settings.endpoint_retry_max_s,
        letters=letters,
        attempts=attempts,
        records=DeadLetterLookup(cluster),
        replays=Replayer(cluster, letters, event_max_bytes=settings.event_max_bytes),
        progress=ConsumerGroup(cluster),
        search=EventSearch(cluster, event_max_bytes=settings.event_max_bytes),
        clock=clock,
        trace=None if tracing is None else tracing.published,
    )
    if socket is None:
        warn_of_admin_key(settings)
    async with AsyncExitStack() as stack:
        if tracing is not None:
            stack.push_async_callback(asyncio.to_thread, tracing.close)
        stack.push_async_callback(producer.close)
        if "tenants" in parts:
            model.start()
            stack.push_async_callback(model.close)
        if "events" in parts:
            await events.start()
            stack.push_async_callback(events.close)
        if "dead_letters" in parts:
            stack.push_async_callback(letters.close)
            # A command fails at once instead of waiting for the index.
            await letters.start(patient=socket is None)
        if "attempts" in parts:
            stack.push_async_callback(attempts.close)
            await attempts.start(patient=socket is None)
        sockets = listen_tcp(host, port) if socket is None else listen_unix(socket)
        server = await stack.enter_async_context(HttpServer(build(api), sockets, name="api"))
        url = ""
        if socket is None:
            _log.info("api.listening", host=host, port=server.port)
            url = f"http://{f'[{host}]' if ':' in host else host}:{server.port}"
        yield RunningApi(url, model, letters, attempts)
