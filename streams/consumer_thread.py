"""The thread with aiokafka's consumer: quick fetches, notes with commits, known heartbeats."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    OffsetMetadataTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver

from hookseal.retry import LogThrottle
from streams.fast_path.fetch_batching import FetchBatching

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from faust.types import TP

    from streams.consumer import OffsetTrackingConsumer

__all__ = ["KafkaConsumerThread"]

# Answers in which the coordinator counts us as a member: none wrong, or a rebalance that
# we are about to join.
_MEMBER = (0, 27)
# What aiokafka raises about a partition and not about the group.
_OF_ONE_PARTITION = (RecordTooLargeError, TopicAuthorizationFailedError)
_AFTER_FAILURE_S = 1.0
_SHOWS_MEMBERSHIP = ("HeartbeatRequest", "SyncGroupRequest")


class KafkaConsumerThread(driver.AIOKafkaConsumerThread):
    """A consumer thread whose fetches come back soon, and which tells of its heartbeats.

    One fetch asks a broker for all partitions at once, and Faust lets it wait 1.5 s for
    records. A partition whose buffer has room again meanwhile stands idle as long. Here it
    waits as long as its `FetchBatching` says.

    A fetch may outlast the assignment it was begun under, and what it brings then is read,
    as far as the position goes, while nobody takes it. Of a table's changelog that would be
    what its recovery waits for, without end. So it is put back.
    """

    consumer: OffsetTrackingConsumer
    _metadata_fits = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log_throttle = LogThrottle()
        self._batching = FetchBatching(self.app.fetch_max_wait_s)  # type: ignore[attr-defined]

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        commit = client.commit

        async def commit_with_metadata(offsets: Mapping[TP, OffsetAndMetadata]) -> None:
            try:
                await commit(self._with_metadata(offsets))
            except OffsetMetadataTooLargeError:
                # The broker allows less than we keep to: repeats, but no worker that dies.
                self._metadata_fits = False
                self.log.warning("offset.metadata.max.bytes is too small for what is finished")
                await commit(offsets)

        client.commit = commit_with_metadata
        return client

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[Any, Any]:
        try:
            fetched = dict(
                await super()._fetch_records(
                    consumer, active_partitions, timeout=timeout, max_records=max_records
                )
            )
        except _OF_ONE_PARTITION as error:
            # Raised again with each fetch of that partition; the others go on.
            self._log_failure(error)
            await asyncio.sleep(_AFTER_FAILURE_S)
            return {}
        # Nothing may be awaited from here on: a seek that came in between would be undone.
        for tp in [tp for tp in fetched if not self.consumer.is_fetching(tp)]:
            first = fetched.pop(tp)[0]
            if consumer._subscription.is_assigned(tp):  # noqa: SLF001
                consumer._fetcher.seek_to(tp, first.offset)  # noqa: SLF001
        return fetched

    def _log_failure(self, error: Exception) -> None:
        if self._log_throttle.lines(time.monotonic()):
            self.log.error("A partition cannot be read: %r. It is tried again.", error)

    async def on_start(self) -> None:
        """Start the client, and listen to what its coordinator answers."""
        await super().on_start()
        client: Any = self._ensure_consumer()
        fetcher, coordinator = client._fetcher, client._coordinator  # noqa: SLF001
        if self.app.fast_path:  # type: ignore[attr-defined]
            fetcher._proc_fetch_request = partial(self._batching.fetch, fetcher._proc_fetch_request)  # noqa: SLF001
        coordinator._send_req = partial(self.send_and_track_heartbeat, coordinator._send_req)  # noqa: SLF001

    async def send_and_track_heartbeat(
        self, ask: Callable[[Any], Awaitable[Any]], request: Any
    ) -> Any:
        """Ask the coordinator; note if the answer shows that we are a member."""
        # Before it is sent: the group counts from when it arrives, which is later.
        asked_at = time.monotonic()
        answer = await ask(request)
        shows = type(request).__name__ in _SHOWS_MEMBERSHIP
        if shows and answer.error_code in _MEMBER:
            self.consumer.membership.confirm(asked_at)
        return answer

    async def committed(self) -> dict[TP, OffsetAndMetadata | None]:
        """Seek to what is committed, and return it, with its notes."""
        found: dict[TP, OffsetAndMetadata | None] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> dict[Any, OffsetAndMetadata | None]:
        # As aiokafka's, but all in one request, and it keeps the notes.
        client: Any = self._ensure_consumer()
        held = client.assignment()
        found = await client._coordinator.fetch_committed_offsets(list(held))  # noqa: SLF001
        for tp, committed in found.items():
            if committed.offset > 0 and tp in client.assignment():
                client._fetcher.seek_to(tp, committed.offset)  # noqa: SLF001
        return {tp: found.get(tp) for tp in held}

    def _with_metadata(
        self, offsets: Mapping[TP, OffsetAndMetadata]
    ) -> dict[TP, OffsetAndMetadata]:
        if not self._metadata_fits:
            return dict(offsets)
        metadata = self.consumer.metadata
        return {
            tp: OffsetAndMetadata(committed.offset, metadata.get(tp, ""))
            for tp, committed in offsets.items()
        }
