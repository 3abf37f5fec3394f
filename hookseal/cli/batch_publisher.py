"""Publishes many events over the API in batches, in order."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from uuid import uuid4

import orjson

from hookseal.api.events import BATCH_EVENTS_MAX, BATCH_MAX_BYTES
from hookseal.domain.record import Position
from hookseal.errors import BrokerError, HooksealError, InvalidInputError

if TYPE_CHECKING:
    from hookseal.api.client import ApiClient
    from hookseal.domain.new_event import NewEvent

_PATH = "/v1/events"
# A broadcast is one record per partition, and the API writes at most 20,000 records at once.
_BROADCASTS_MAX = 20
_REFUSED = re.compile(r"events\[(?P<index>\d{1,9})\](?:\.(?P<field>.+))?", re.ASCII | re.DOTALL)


class _Line(NamedTuple):
    number: int
    text: bytes


class BatchPublisher:
    """Publishes events over an entered client; an asynchronous context manager.

    One batch is in flight while the next one fills up. A file is sent in full batches, a pipe
    without delay, and memory holds at most two batches. With two batches in flight, the later one
    could be written first.

    Attributes:
        acknowledged: Events that the API wrote, by partition. A duplicate counts where its
            first copy is.
        last: Position of the last event; None after a broadcast.
        events: Number of acknowledged events; a broadcast is one.
        last_id: Id of the last event, which the API made if the event had none.
    """

    def __init__(self, api: ApiClient) -> None:
        self.acknowledged: Counter[int] = Counter()
        self.last: Position | None = None
        self.last_id = ""
        self.events = 0
        self._api = api
        self._waiting: list[_Line] = []
        self._waiting_bytes = 0
        self._events_max = BATCH_EVENTS_MAX
        self._changed = asyncio.Condition()
        self._is_all = False
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._sending = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, HooksealError):
            # An interrupt must not wait for a request, which may take a minute.
            self._sending.cancel()
        await self._finish()
        # `put` or `drain` raised the failure already, unless an earlier error came first.
        await asyncio.gather(self._sending, return_exceptions=True)

    async def put(self, number: int, event: NewEvent) -> None:
        """Add the event of line `number`; wait while both batches are full.

        Raises:
            HooksealError: As `ApiClient.ask`, for this event or an earlier one. The events before
                a refused one are published.
        """
        line = _Line(number, _text(event))
        size = len(line.text) + 1
        if event.is_broadcast:
            self._events_max = _BROADCASTS_MAX
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_over or self._has_room(size))
            if not self._is_over:
                self._waiting.append(line)
                self._waiting_bytes += size
                self._changed.notify_all()
                return
        await self._sending

    async def put_alone(self, event: NewEvent) -> None:
        """Publish one event; return when it is acknowledged. Needs no `async with`.

        Raises:
            HooksealError: As `ApiClient.ask`.
        """
        # Not as NDJSON: the data may contain line breaks.
        self._count(await self._api.ask("POST", _PATH, _text(event)))

    async def drain(self) -> None:
        """Wait until every event is acknowledged; `put` is not allowed afterwards.

        Raises:
            HooksealError: As `put`.
        """
        await self._finish()
        await self._sending

    async def _finish(self) -> None:
        async with self._changed:
            self._is_all = True
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._waiting or (
            len(self._waiting) < self._events_max and self._waiting_bytes + size <= BATCH_MAX_BYTES
        )

    async def _send_all(self) -> None:
        try:
            while batch := await self._next_batch():
                await self._send(batch)
        finally:
            async with self._changed:
                self._is_over = True
                self._changed.notify_all()

    async def _next_batch(self) -> list[_Line]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._is_all)
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._changed.notify_all()
            return batch

    async def _send(self, batch: list[_Line]) -> None:
        refused: HooksealError | None = None
        # The first attempt may have been written although its answer was lost. The same key gives
        # the events the same ids, so that the API recognizes them.
        key = uuid4().hex
        while batch:
            body = b"\n".join(line.text for line in batch)
            try:
                answer = await self._api.ask(
                    "POST", _PATH, body, content_type="application/x-ndjson", idempotency_key=key
                )
            except HooksealError as error:
                index, refused = _locate(error, batch)
                if index is None:
                    break
                batch = batch[:index]
                continue
            items = answer["items"]
            if not isinstance(items, list) or len(items) != len(batch):
                raise _unexpected()
            for item in items:
                self._count(item)
            break
        if refused is not None:
            raise refused

    def _count(self, item: Any) -> None:
        match item:
            case {"id": str(event_id), "partition": int(partition), "offset": int(offset)}:
                self.acknowledged[partition] += 1
                self.last = Position(partition, offset)
            case {"id": str(event_id), "partition": None, "partitions": int(partitions)}:
                self.acknowledged.update(range(partitions))
                self.last = None
            case _:
                raise _unexpected()
        self.last_id = event_id
        self.events += 1


def _text(event: NewEvent) -> bytes:
    """Return the event as the API reads it, with the bytes of its data unchanged."""
    if event.is_broadcast:
        return event.value
    return b'{"customer_id":' + orjson.dumps(event.customer_id) + b"," + event.value[1:]


def _locate(error: HooksealError, batch: list[_Line]) -> tuple[int | None, HooksealError]:
    """Return the index of the refused event, None if it is the batch, and the error with lines."""
    match = _REFUSED.fullmatch(error.field or "")
    index = None if match is None else int(match["index"])
    if match is not None and index is not None and index < len(batch):
        field = f"line {batch[index].number}"
        if match["field"] is not None:
            field += f", {match['field']}"
    elif isinstance(error, BrokerError | InvalidInputError) and error.field is None:
        first, last = batch[0].number, batch[-1].number
        index, field = None, f"line {first}" if first == last else f"lines {first} to {last}"
    else:
        return None, error
    return index, type(error)(error.code, error.message, field=field)


def _unexpected() -> BrokerError:
    return BrokerError(
        "api_unexpected",
        "The server is not the API of this release: it does not return the positions of events.",
        field="HOOKSEAL_API_URL",
    )
