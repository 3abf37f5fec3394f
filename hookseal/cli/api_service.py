"""The composition root of an API process: settings in, a server out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from hookseal.api.factory import ApiParts, build
from hookseal.api.server import HttpServer, listen_tcp, listen_unix
from hookseal.dead_letters.index import AttemptIndex, LetterIndex
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
    from collections.abc import Iterable
    from pathlib import Path

    from hookseal.config import Settings
    from hookseal.errors import ConfigurationError

__all__ = ["ApiService"]

_log = logger("hookseal.api")


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
        indexed: bool = True,
    ) -> None:
        """Prepare.

        Args:
            settings: Of the API.
            host: Address to listen on.
            port: 0 takes any that is free.
            socket: Listen there instead, on a Unix socket.
            partitions: Know the tenants of these only, counted from 0; of all when None.
            indexed: Read dead letters and attempts, and keep them on disk. Otherwise requests
                for them are answered with 503.

        Raises:
            ConfigurationError: `master_key_missing`, `pepper_short`.
        """
        self._settings = settings
        self._host = host
        self._port = port
        self._socket = socket
        self._indexed = indexed
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
            self._model.start()
            stack.push_async_callback(self._model.close)
            stack.push_async_callback(self._producer.close)
            await self._events.start()
            stack.push_async_callback(self._events.close)
            for index in (self._letters, self._attempts) if self._indexed else ():
                await index.start(patient=True)
                stack.push_async_callback(index.close)
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
            notices=self._events,
            api_keys=ApiKeys(settings.peppers(), master_keys=master_keys),
            admin_key=settings.admin_key.get_secret_value() or None,
            secrets=SigningSecrets(*master_keys),
            check_url=url_check(settings),
            letters=self._letters,
            attempts=self._attempts,
            replays=Replayer(
                settings.cluster, self._letters, event_max_bytes=settings.event_max_bytes
            ),
            clock=self._clock,
            trace=None if self._tracing is None else self._tracing.published,
        )
