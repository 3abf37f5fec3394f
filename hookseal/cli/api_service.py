"""The composition root of an API process: settings in, a server out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal, Self

from hookseal.api.factory import ApiParts, build
from hookseal.api.server import HttpServer, listen_tcp, listen_unix
from hookseal.dead_letters.index import AttemptIndex, LetterIndex
from hookseal.dead_letters.lookup import DeadLetterLookup
from hookseal.dead_letters.replay import Replayer
from hookseal.delivery.clock import SystemClock
from hookseal.kafka import record_batches
from hookseal.kafka.producer import Producer
from hookseal.publishing.event_log import EventLog
from hookseal.runtime.serving import say_what_is_open, url_check
from hookseal.seal.api_keys import ApiKeys
from hookseal.seal.sign import SigningSecrets
from hookseal.telemetry import metrics
from hookseal.telemetry.logs import logger
from hookseal.telemetry.observer import write_failure_counter
from hookseal.telemetry.traces import tracing_to
from hookseal.tenants.changes import KafkaChanges
from hookseal.tenants.commands import KafkaCommands
from hookseal.tenants.model import TenantsModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.errors import ConfigurationError

_log = logger("hookseal.api")


Part = Literal["tenants", "events", "dead_letters", "attempts"]

ALL_PARTS: frozenset[Part] = frozenset({"tenants", "events", "dead_letters", "attempts"})


class ApiService:
    """Serves the API over Kafka; an asynchronous context manager.

    Entering needs no broker: until there is one, requests are answered with 503.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        socket: Path | None = None,
        partitions: Iterable[int] | None = None,
        parts: Collection[Part] = ALL_PARTS,
    ) -> None:
        """Prepare.

        Args:
            settings: Of the API.
            host: Address to listen on.
            port: 0 takes any that is free.
            socket: Listen there instead, on a Unix socket.
            partitions: Know the tenants of these only, counted from 0; of all when None.
            parts: What is read from Kafka. Requests for anything else are answered with 503.

        Raises:
            ConfigurationError: `master_key_missing`, `pepper_short`.
        """
        self._settings = settings
        self._host = host
        self._port = port
        self._socket = socket
        self._parts_read = frozenset(parts)
        record_batches.install(metrics.UNREADABLE_BATCHES.inc)
        self._model = TenantsModel(
            settings.cluster,
            settings.tenant_codec(),
            on_forged=metrics.FORGED_RECORDS.inc,
            partitions=partitions,
            max_staleness_s=settings.api_max_staleness_s,
        )
        self._producer = Producer(
            settings.cluster,
            timeout_s=settings.api_write_timeout_s,
            on_failure=write_failure_counter(settings.names.configs()),
        )
        self._clock = SystemClock()
        self._events = EventLog(
            settings.cluster,
            now=self._clock.now,
            timeout_s=settings.api_write_timeout_s,
            ids_max=settings.api_event_ids,
            sealing=settings.sealing(),
        )
        self._letters = LetterIndex(settings.cluster, settings.data_dir)
        self._attempts = AttemptIndex(
            settings.cluster, settings.data_dir, rows_max=settings.delivery_index_rows
        )
        self._tracing = tracing_to(settings.otlp_endpoint, "hookseal-api")
        self._app = build(self._parts())

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            OSError: The port cannot be listened on.
        """
        if self._socket is None:
            say_what_is_open(self._settings)
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            stack.push_async_callback(self._producer.close)
            if "tenants" in self._parts_read:
                self._model.start()
                stack.push_async_callback(self._model.close)
            if "events" in self._parts_read:
                await self._events.start()
                stack.push_async_callback(self._events.close)
            if "dead_letters" in self._parts_read:
                stack.push_async_callback(self._letters.close)
                # A command is told at once what is wrong.
                await self._letters.start(patient=self._socket is None)
            if "attempts" in self._parts_read:
                await self._attempts.start(patient=True)
                stack.push_async_callback(self._attempts.close)
            if self._socket is None:
                sockets = listen_tcp(self._host, self._port)
            else:
                sockets = listen_unix(self._socket)
            self._server = await stack.enter_async_context(
                HttpServer(self._app, sockets, name="api")
            )
            if self._socket is None:
                _log.info("api.listening", host=self._host, port=self.port)
            self._stack = stack.pop_all()
        return self

    async def letters_known(self, on_progress: Callable[[int, int], None]) -> None:
        """Return once the index has the dead letters that stand on the topic now.

        Args:
            on_progress: Called with how many records are read, and of how many.

        Raises:
            BrokerError: `broker_unreachable`.
        """
        await self._letters.catch_up(on_progress=on_progress)

    async def known(self) -> None:
        """Return once the tenants are known.

        Raises:
            BrokerError: As `TenantsModel.first`.
            ConfigurationError: `master_key_wrong`.
        """
        await self._model.first()

    async def key_known(self) -> ConfigurationError | None:
        """Return once it is known whether the master key fits: `master_key_wrong`, or None."""
        return await self._model.key_known()

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def _parts(self) -> ApiParts:
        settings = self._settings
        master_keys = settings.master_keys()
        return ApiParts(
            model=self._model,
            changes=KafkaChanges(
                self._model,
                KafkaCommands(self._producer, settings.names, settings.tenant_codec()),
                timeout_s=settings.api_write_timeout_s,
            ),
            events=self._events,
            event_max_bytes=settings.event_max_bytes,
            api_keys=ApiKeys(settings.peppers(), master_keys=master_keys),
            admin_key=settings.admin_key.get_secret_value() or None,
            secrets=SigningSecrets(*master_keys),
            check_url=url_check(settings),
            letters=self._letters,
            attempts=self._attempts,
            records=DeadLetterLookup(settings.cluster),
            replays=Replayer(
                settings.cluster, self._letters, event_max_bytes=settings.event_max_bytes
            ),
            clock=self._clock,
            trace=None if self._tracing is None else self._tracing.published,
        )
