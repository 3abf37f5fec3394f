"""The composition root of `hookseal local`: settings in, API and delivery out."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hookseal.api.factory import ApiParts, build
from hookseal.api.server import HttpServer, listen_tcp
from hookseal.delivery.ports import Clock, Ports
from hookseal.errors import BrokerError
from hookseal.local.attempts import LocalAttemptLog
from hookseal.local.events import LocalEvents, LocalEventSearch, LocalRouter
from hookseal.local.index import LocalAttempts, LocalLetters
from hookseal.local.jobs import cancel, keep_deleting_expired, keep_rotating_keys
from hookseal.local.letters import (
    LocalDeadLetters,
    LocalDeferredEvents,
    LocalLetterRecords,
    LocalReplays,
)
from hookseal.local.progress import LocalProgress
from hookseal.local.runtime.assignment import PartitionAssignment, StoreSource
from hookseal.local.tenants import EngineTenants, LocalChanges, LocalCommands, LocalTenants
from hookseal.runtime.engine import build_engine, build_transport, warn_of_open_egress
from hookseal.runtime.partition_runner import PartitionRunner
from hookseal.runtime.process import tracing_to, url_check, warn_of_admin_key
from hookseal.seal.api_keys import ApiKeys
from hookseal.seal.sign import SigningSecrets
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger
from hookseal.telemetry.observer import Observer

if TYPE_CHECKING:
    from hookseal.config import Settings
    from hookseal.local.leases import Leases
    from hookseal.local.store import Store

_log = logger("hookseal.api")


class LocalService:
    """Serves the API and delivers; an asynchronous context manager. Port 0 = any free port.

    Raises:
        ConfigurationError: `master_key_missing`.
    """

    def __init__(
        self, settings: Settings, store: Store, leases: Leases, *, host: str, port: int
    ) -> None:
        self._settings = settings
        self._store = store
        self._leases = leases
        self._host = host
        self._port = port
        self._clock = Clock()
        codec = settings.tenant_codec()
        self._attempt_log = LocalAttemptLog(store, on_dropped=metrics.DELIVERY_LOG_DROPPED.inc)
        self._observer = Observer(
            attempts=self._attempt_log if settings.delivery_log else None,
            storm_per_minute=settings.storm_dead_letters_per_minute,
        )
        self._model = LocalTenants(
            store,
            codec,
            on_forged=metrics.FORGED_RECORDS.inc,
            max_staleness_s=settings.api_max_staleness_s,
        )
        self._commands = LocalCommands(
            store,
            self._model,
            codec,
            on_applied=self._observer.command_applied,
            clock=self._clock,
        )
        self._transport = build_transport(settings, on_blocked=self._observer.blocked)
        self._tracing = tracing_to(settings.otlp_endpoint, "hookseal-local")

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            BrokerError: `redis_unreachable`, `redis_refused`.
            ConfigurationError: As the store's `start`; `master_key_wrong`.
            OSError: The port is not available.
        """
        warn_of_admin_key(self._settings)
        warn_of_open_egress(self._settings)
        store = self._store
        async with AsyncExitStack() as stack:
            stack.push_async_callback(store.close)
            await store.start()
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookseal-")))
            letters = LocalLetters(store, folder)
            attempts = LocalAttempts(store, folder)
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            await self._model.start()
            stack.push_async_callback(self._model.close)
            with suppress(BrokerError):
                await self._model.first()
            for index in (letters, attempts):
                stack.push_async_callback(index.close)
                await index.start(patient=True)
            for part in (self._attempt_log, self._transport):
                await part.start()
                stack.push_async_callback(part.close)
            for job in (
                keep_deleting_expired(store, self._clock),
                keep_rotating_keys(self._model, self._commands, self._clock),
            ):
                stack.push_async_callback(cancel, asyncio.create_task(job))
            assignment = self._new_assignment()
            stack.push_async_callback(assignment.close)
            await assignment.start()
            # Closed first, so that no request arrives while the rest stops.
            server = await stack.enter_async_context(
                HttpServer(
                    build(self._parts(letters, attempts)),
                    listen_tcp(self._host, self._port),
                    name="api",
                )
            )
            self.port = server.port
            _log.info("api.listening", host=self._host, port=self.port)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def _new_assignment(self) -> PartitionAssignment:
        settings, clock, observer = self._settings, self._clock, self._observer
        store, leases = self._store, self._leases
        tenants = EngineTenants(self._model, clock, wait_s=settings.unknown_tenant_wait_s)
        handler, suspensions = build_engine(
            settings,
            Ports(
                tenants=tenants,
                transport=self._transport,
                commands=self._commands,
                letters=LocalDeferredEvents(store, clock),
                dead_letters=LocalDeadLetters(store, observer, clock),
                router=LocalRouter(store, clock),
                observer=observer,
                clock=clock,
                gate=leases.gate,
                tracing=self._tracing,
            ),
        )
        self._model.on_change = suspensions.changed
        runner = PartitionRunner(
            source=partial(StoreSource, store=store, leases=leases),
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
        return PartitionAssignment(
            store=store,
            leases=leases,
            runner=runner,
            suspended_endpoints=suspensions,
            observer=observer,
        )

    def _parts(self, letters: LocalLetters, attempts: LocalAttempts) -> ApiParts:
        settings, store = self._settings, self._store
        events = LocalEvents(store, room=settings.queue_max_events, sealing=settings.sealing())
        return ApiParts(
            model=self._model,
            changes=LocalChanges(self._commands, timeout_s=settings.api_write_timeout_s),
            events=events,
            event_max_bytes=settings.event_max_bytes,
            tenant_max_events_per_s=settings.tenant_max_events_per_s,
            api_keys=ApiKeys(settings.peppers(), master_keys=settings.master_keys()),
            admin_key=settings.admin_key.get_secret_value() or None,
            secrets=SigningSecrets(*settings.master_keys()),
            check_url=url_check(settings),
            retry_max_s=settings.endpoint_retry_max_s,
            letters=letters,
            attempts=attempts,
            records=LocalLetterRecords(store, attempts),
            replays=LocalReplays(store, letters),
            progress=LocalProgress(store, self._leases),
            search=LocalEventSearch(store, event_max_bytes=settings.event_max_bytes),
            clock=self._clock,
            trace=None if self._tracing is None else self._tracing.published,
        )
