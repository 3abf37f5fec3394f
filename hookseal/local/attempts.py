"""The delivery log of a store."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from hookseal.domain.attempt import encode, record_of
from hookseal.errors import BrokerError
from hookseal.local.store import Write

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.attempt import Attempt
    from hookseal.domain.event import Event
    from hookseal.local.store import Store

_log = logging.getLogger(__name__)

# Some 500 bytes of memory each.
ATTEMPTS_MAX = 100_000
_LINGER_S = 0.25
_BUFFER_RECORDS = 20_000
_AT_A_TIME = 500


class LocalAttemptLog:
    """`AttemptLog` that keeps the latest attempts; written every 0.25 s in the background."""

    def __init__(self, store: Store, *, on_dropped: Callable[[int], None]) -> None:
        self._store = store
        self._on_dropped = on_dropped
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._buffer: list[Write] = []
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        self._stopping.set()
        await self._task
        await self._flush()

    def attempted(self, event: Event, customer_id: str, attempt: Attempt) -> None:
        """Buffer one attempt; returns at once."""
        if len(self._buffer) >= _BUFFER_RECORDS:
            self._on_dropped(1)
            return
        now = time.time()
        value = encode(record_of(event, customer_id, attempt, at=now, worker=self._worker))
        write = Write(event.record.partition, customer_id.encode(), value)
        self._buffer.append(write._replace(timestamp_ms=round(now * 1000)))

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S):
                    await self._stopping.wait()
            await self._flush()

    async def _flush(self) -> None:
        writes, self._buffer = self._buffer, []
        keep = max(1, ATTEMPTS_MAX // self._store.partitions)
        for start in range(0, len(writes), _AT_A_TIME):
            try:
                await self._store.append(
                    "deliveries", writes[start : start + _AT_A_TIME], keep=keep
                )
            except BrokerError as error:
                _log.warning("The delivery log was not written: %s", error.code)
                self._on_dropped(len(writes) - start)
                return
